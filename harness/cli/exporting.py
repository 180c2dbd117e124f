"""`labctl export` and `labctl image export`: topologies and images for those who run them elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness import build
from harness.build import archive
from harness.cli.options import print_json
from harness.cli.output import ImageOut, ImagesOut
from harness.cli.reporter import reporter
from harness.engine.start import START
from harness.topology import Topology, clabernetes


def export_images(console: Console, names: Sequence[str], output: Path | None, as_json: bool) -> int:
    """Write the archive, and say the digest of each image in it. Raises RecipeError, BuildError."""
    file = output or Path(f"{names[0]}.tar")
    with reporter() as progress:
        images = build.ensure(list(dict.fromkeys(names)), progress)
        progress.step(file.name, f"packing {', '.join(images)}")
        digests = archive.write(list(images.values()), START, file.absolute())
        progress.done(file.name, "written")
    if as_json:
        told = [ImageOut(image=archive.reference(name), digest=digest) for name, digest in digests.items()]
        print_json(ImagesOut(file=str(file), images=told))
        return 0
    for name, digest in digests.items():
        console.print(f"{archive.reference(name)}  {digest}", soft_wrap=True)
    return 0


def export_topology(topology: Topology, registry: str | None, group: str, output: Path | None) -> int:
    """Write its manifests for Clabernetes, or print them. Raises TopologyError."""
    text = clabernetes.text(clabernetes.manifests(topology, registry, group))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    return 0

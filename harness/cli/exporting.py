"""`labctl image export`: our images for those who run them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness import build
from harness.build import archive
from harness.cli.reporter import reporter


def export(console: Console, names: Sequence[str], output: Path | None) -> int:
    """Write the archive, and say the digest of each image in it. Raises RecipeError, BuildError."""
    from harness.engine.start import START  # noqa: PLC0415

    file = output or Path(f"{names[0]}.tar")
    with reporter() as progress:
        images = build.ensure(list(dict.fromkeys(names)), progress)
        progress.step(file.name, f"packing {', '.join(images)}")
        digests = archive.write(list(images.values()), START, file.absolute())
        progress.done(file.name, "written")
    for name, digest in digests.items():
        console.print(f"{archive.reference(name)}  {digest}", soft_wrap=True)
    return 0

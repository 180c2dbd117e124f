"""Running things in images: tests of what lives in nodes, tools that only images have."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import IO

from harness.build.chroot import PATH, Bind, Root, run_in_root
from harness.build.images import Builder, Image
from harness.build.progress import Progress
from harness.paths import REPOSITORY, SOURCES


def image_root(image: Image, binds: Sequence[Bind] = (), env: Mapping[str, str] | None = None) -> Root:
    """A root that forgets what is written; the programs of the image's own environment come first."""
    own = f"/opt/{image.name}"
    environment = {"PATH": f"{own}/bin:{PATH}", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
    return Root(image.layers, binds=tuple(binds), env=environment)


def run_in_image(
    name: str,
    argv: Sequence[str],
    *,
    binds: Sequence[Bind] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    progress: Progress | None = None,
    stdout: IO[bytes] | int | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> int:
    """Run `argv` in image `name` (built when missing) with the repository at its own path, read-only; its exit status.

    `binds` add or replace: a bind below the repository can be writable (for results). The network is the machine's.

    Raises:
        BuildError: the image cannot be built or entered.
    """
    image = Builder(progress).ensure([name])[name]
    root = image_root(image, (Bind(REPOSITORY, str(REPOSITORY)), *binds), env)
    paths = ":".join(str(REPOSITORY / place) for place in SOURCES)
    root = replace(root, env={"PYTHONPATH": paths, **root.env})
    return run_in_root(root, argv, cwd=cwd or str(REPOSITORY), stdout=stdout, stdin=stdin)

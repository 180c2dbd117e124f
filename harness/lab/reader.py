"""Wireshark's tools, which read captures: those of an image that is never part of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile

from harness import build
from harness.lab.record import LabError

IMAGE = "reader"


def said(argv: Sequence[str], binds: Sequence[build.Bind], env: Mapping[str, str] | None = None) -> str:
    """What one of them says of the files that `binds` shows it. Raises LabError, BuildError."""
    with TemporaryFile() as file:
        status = build.run_in_image(IMAGE, argv, binds=binds, env=env, stdout=file)
        file.seek(0)
        text = file.read().decode(errors="replace")
    if status != 0:
        raise LabError(f"{argv[0]}: exit status {status}: {text.strip()}")
    return text

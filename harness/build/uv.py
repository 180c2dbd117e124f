"""The `uv` program that builds environments: the one of labctl's bootstrap, else the machine's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.build.errors import BuildError
from harness.build.store import Store


def uv_binary(store: Store) -> Path:
    """Path of a static `uv`.

    Raises:
        BuildError: neither the cache nor PATH has one.
    """
    kept = sorted((store.root / "uv").glob("*/bin/uv"), key=lambda path: path.stat().st_mtime)
    if (chosen := os.environ.get("ELASTICLAB_UV")) or kept:
        return Path(chosen) if chosen else kept[-1]
    if found := shutil.which("uv"):
        return Path(found).resolve()
    raise BuildError("uv is missing; start through ./labctl.py, which brings it")

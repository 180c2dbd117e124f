"""Where elasticlab keeps things on the user's machine (XDG base directories, overridable)."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TOPOLOGIES = REPOSITORY / "topologies"
SOURCES = ("", "kits/netlinkkit", "kits/yangkit", "kits/stackkit", "images/element", "images/stack")
"""Where Python finds the workspace's packages, below the repository."""
ON_HOSTS = ("/opt/elasticlab", "/opt/elasticlab/kits/netlinkkit")
"""Where a lab host's Python finds the harness, and what it needs of the workspace."""


def _xdg(override: str, variable: str, fallback: str) -> Path:
    if chosen := os.environ.get(override):
        return Path(chosen).absolute()
    base = os.environ.get(variable)
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / fallback
    return root / "elasticlab"


def state_dir() -> Path:
    """Labs that run, one folder each (`$ELASTICLAB_STATE`, else XDG state)."""
    return _xdg("ELASTICLAB_STATE", "XDG_STATE_HOME", ".local/state")


def labs_dir() -> Path:
    return state_dir() / "labs"

"""Paths on a lab host. `/lab`, `/images` and `/opt/elasticlab` are the user's own folders, seen through the host."""

from __future__ import annotations

from pathlib import Path

LAB = Path("/lab")
DISK = Path("/disk")
NETNS = Path("/run/netns")
NODES = Path("/run/elasticlab/nodes")
CGROUPS = Path("/sys/fs/cgroup/elasticlab")
LINES = Path("/run/elasticlab/lines")
FAULTS = Path("/run/elasticlab/faults")
CLOCKS = Path("/run/elasticlab/clocks")
CRUN_STATE = Path("/run/crun")
MANAGEMENT_BRIDGE = "mgmt"


def own_disk(node: str) -> Path:
    """Where the disk of a node that has one of its own is mounted."""
    return NODES / node / "disk"

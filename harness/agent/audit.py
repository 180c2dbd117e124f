"""What a demolished lab left on its host: the proof that it is nothing."""

from __future__ import annotations

import re
from pathlib import Path

from harness.agent import ports
from harness.agent.places import CGROUPS, CLOCKS, CRUN_STATE, DISK, FAULTS, LINES, NETNS, NODES

_OURS = re.compile(r"p\d+[ab]|m\d+")


def leftovers() -> list[str]:
    """One line for each namespace, link, container, mount, cgroup, fault or folder of a node that is still there."""
    found = [f"network namespace {entry.name}" for entry in _entries(NETNS)]
    for name, index in ports.indexes().items():
        if _OURS.fullmatch(name):
            found += [f"link {name} ({link.get_attr('IFLA_IFALIAS')})" for link in ports.netlink().get_links(index)]
    found += [f"container {entry.name}" for entry in _entries(CRUN_STATE)]
    found += [f"bundle {entry.name}" for entry in _entries(NODES)]
    # What begins with a dot is the lab host's own.
    found += [f"disk of node {e.name}" for e in _entries(DISK) if e.name != "lost+found" and e.name[0] != "."]
    found += [f"fault {entry.stem}" for entry in _entries(FAULTS) if entry.suffix == ".json"]
    found += [f"state of link {entry.stem}" for entry in _entries(LINES) if entry.suffix == ".json"]
    found += [f"clock of node {entry.name}" for entry in _entries(CLOCKS)]
    found += [f"mount {line.split()[4]}" for line in _mountinfo() if str(NODES) in line]
    found += [f"cgroup {entry.name}" for entry in _entries(CGROUPS) if entry.is_dir()]
    return found


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _mountinfo() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()

"""What a lab uses and carries: counters of nodes and ports, which whoever asks twice turns into rates."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

from harness.agent import nodes, ports
from harness.agent.runtimes import is_docker, runtime

_PORT = re.compile(r"p\d+[ab]")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def read() -> dict[str, Any]:
    """`time` (s, monotonic), `nodes` (`cpu` in s, `memory` in octets), `ports` (what came in)."""
    running = {name: state["pid"] for name, state in runtime().states().items() if state["pid"]}
    counted = is_docker() or nodes.cgroups()
    used = _of_cgroups(running) if counted else _of_processes(running)
    return {"time": time.monotonic(), "nodes": used, "ports": _ports()}


def _ports() -> dict[str, dict[str, int]]:
    found = {}
    for link in ports.netlink().get_links():
        name = link.get_attr("IFLA_IFNAME")
        counted = link.get_attr("IFLA_STATS64")
        if _PORT.fullmatch(name) and counted:
            found[name] = {"octets": counted["rx_bytes"], "packets": counted["rx_packets"]}
    return found


def _of_cgroups(running: dict[str, int]) -> dict[str, dict[str, float]]:
    used = {}
    for name in running:
        with contextlib.suppress(OSError):  # it loses its power meanwhile
            folder = runtime().cgroup(name)
            usage = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())["usage_usec"]
            used[name] = {"cpu": int(usage) / 1e6, "memory": float((folder / "memory.current").read_text())}
    return used


def _of_processes(running: dict[str, int]) -> dict[str, dict[str, float]]:
    """Where no control group counts: processes of each node's PID namespace, and those that they have waited for.

    What was run in a node from outside is counted while it runs only.
    """
    names: dict[str, str] = {}
    for name, pid in running.items():
        with contextlib.suppress(OSError):
            names[os.readlink(f"/proc/{pid}/ns/pid")] = name
    used = {name: {"cpu": 0.0, "memory": 0.0} for name in running}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ends meanwhile
            owner = names.get(os.readlink(entry / "ns/pid"))
            if owner:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                used[owner]["cpu"] += sum(map(int, fields[11:15])) / _TICK
                used[owner]["memory"] += int(fields[21]) * _PAGE
    return used

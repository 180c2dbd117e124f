"""Conditions on a node, looked at from outside of it: nothing is asked of its own software."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.agent.runtimes import runtime

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


def holds(node: str, condition: str) -> bool:
    """`tcp:PORT` somebody listens, `file:/PATH` is there, `ping:ADDRESS` one of ten echo requests is answered."""
    pid = runtime().pid(node)
    if not pid:
        return False
    kind, _, value = condition.partition(":")
    if kind == "tcp":
        return int(value) in _listening(pid)
    if kind == "file":
        return Path(f"/proc/{pid}/root{value}").exists()
    if kind == "ping":
        command = ["nsenter", "--target", str(pid), "--net", "ping", "-n", "-c1", "-i0.1", "-w1", value]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    raise ValueError(f"unknown condition {condition!r}; use tcp:PORT, file:/PATH or ping:ADDRESS")


def listening(node: str) -> list[int]:
    """TCP ports on which somebody listens in a node."""
    pid = runtime().pid(node)
    return sorted(_listening(pid)) if pid else []


def _listening(pid: int) -> set[int]:
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == _LISTEN:
                found.add(int(local.rpartition(":")[2], 16))
    return found

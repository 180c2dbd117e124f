"""Processes of a node, found and signalled from outside of it: nothing is asked of its own software."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.agent.runtimes import runtime

_PROC = Path("/proc")
_KEEPERS = ("runsv", "svlogd")
"""Whose arguments name what they keep, and not themselves."""


def first(node: str) -> int:
    """The lab host's number of a node's first process. Raises LookupError."""
    found = runtime().pid(node)
    if not found:
        raise LookupError(f"node {node} has no power")
    return found


def named(node: str, name: str) -> list[int]:
    """Process numbers of what is called `name` in a node: a service of runit's, else a program.

    Raises LookupError when there is none.
    """
    init = first(node)
    inside = dict(_inside(init))
    if supervised := _supervised(init, name):
        found = [pid for pid, own in inside.items() if own == supervised]
    else:
        found = [pid for pid in inside if name in _names(pid)]
    if not found:
        raise LookupError(f"nothing called {name!r} runs in node {node}; `labctl exec {node} -- ps ax` shows what does")
    return found


def send(pids: list[int], name: str) -> None:
    """A signal to each that still lives."""
    for pid in pids:
        try:
            os.kill(pid, signal.Signals[f"SIG{name}"])
        except ProcessLookupError:
            continue


def _supervised(init: int, service: str) -> int | None:
    """The number, in the node, of the process that runit keeps for a service."""
    there = ["nsenter", "--target", str(init), "--mount", "--root"]
    found = subprocess.run(
        [*there, "cat", f"/etc/service/{service}/supervise/pid"], capture_output=True, text=True, check=False
    )
    return int(found.stdout) if found.returncode == 0 and found.stdout.strip() else None


def _inside(init: int) -> Iterator[tuple[int, int]]:
    """Every process of a node: its number on the lab host and its number in the node."""
    home = os.readlink(_PROC / str(init) / "ns/pid")
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "ns/pid") == home:
                    status = (entry / "status").read_text()
                    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                    yield int(entry.name), int(line.split()[-1])
            except OSError:  # it ended meanwhile
                continue


def _names(pid: int) -> set[str]:
    """What a program may be called: its short name, the files of its first two arguments (an interpreter's script)."""
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
        short = (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return set()
    if short in _KEEPERS:
        return {short}
    return {short, *(os.path.basename(argument) for argument in arguments[:2])}

"""Files of nodes, read from outside of them: that costs a node nothing, and works where nothing in it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from harness.agent.runtimes import runtime

Stamp = tuple[int, int, int]
"""Of a file: another one, or one that was written to, has another."""


def changed(path: str, known: Mapping[str, Stamp | None]) -> dict[str, tuple[Stamp, str]]:
    """Node → stamp and text of its file at `path`, of those nodes in `known` where it is not what was known."""
    found = {}
    for node, before in known.items():
        pid = runtime().pid(node)
        try:  # a link of the node's would lead to a file of the lab host's
            handle = os.open(f"/proc/{pid}/root{path}", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # it has no such file, or no power
            continue
        with open(handle, errors="replace") as file:
            status = os.fstat(handle)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != before:
                found[node] = (stamp, file.read())
    return found

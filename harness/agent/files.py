"""Files of nodes, read from outside of them: that costs a node nothing, and works where nothing in it answers."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from harness.agent.runtimes import runtime

Stamp = tuple[int, int, int]
"""Of a file: another one, or one that was written to, has another."""
_MOST = 4 << 20
"""Octets that are read: a node may write what it likes."""


def changed(path: str, known: Mapping[str, Stamp | None]) -> dict[str, tuple[Stamp, str]]:
    """Node → stamp and text of its file at `path`, of those nodes in `known` where it is not what was known."""
    found = {}
    for node, before in known.items():
        # Without power, without such a file, or with something else in its place: there is nothing to tell.
        with contextlib.suppress(OSError), _opened(f"/proc/{runtime().pid(node)}/root", path) as handle:
            status = os.fstat(handle)
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stat.S_ISREG(status.st_mode) and stamp != before:
                found[node] = (stamp, os.read(handle, _MOST).decode(errors="replace"))
    return found


@contextlib.contextmanager
def _opened(root: str, path: str) -> Iterator[int]:
    """A file below `root`. No part of its path is followed that is a link: a node's may lead to the lab host's files,
    and none of it is waited for, as a pipe's writer would be.
    """
    *folders, name = PurePosixPath(path).relative_to("/").parts
    with contextlib.ExitStack() as held:

        def take(part: str, flags: int, below: int | None) -> int:
            handle = os.open(part, os.O_RDONLY | flags, dir_fd=below)
            held.callback(os.close, handle)
            return handle

        place = take(root, os.O_DIRECTORY, None)
        for folder in folders:
            place = take(folder, os.O_DIRECTORY | os.O_NOFOLLOW, place)
        yield take(name, os.O_NOFOLLOW | os.O_NONBLOCK, place)

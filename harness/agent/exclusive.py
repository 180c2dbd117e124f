"""One at a time, over all agents of a lab host and all threads of each; who is in may come in again."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness.agent.places import NODES


class Exclusive:
    """A lock that goes with its process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._threads = threading.RLock()
        self._depth = 0
        self._open: TextIO | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._threads, contextlib.ExitStack() as held:
            if self._depth == 0:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._open = held.enter_context(self._file.open("w"))
                fcntl.flock(self._open, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._open = None

    @property
    def handles(self) -> tuple[int, ...]:
        """For a program that whoever is in starts: what it inherits keeps the lock until it ends, also when its agent
        is killed meanwhile.
        """
        return () if self._open is None else (self._open.fileno(),)


making = Exclusive(NODES.parent / "world.lock")
"""For whoever makes, switches or removes nodes and links: the agent of a killed `labctl` goes on for a while."""

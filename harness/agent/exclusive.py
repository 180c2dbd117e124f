"""One at a time, over all agents of a lab host and all threads of each; who is in may come in again."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path


class Exclusive:
    """A lock that goes with its process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._threads = threading.RLock()
        self._depth = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._threads, contextlib.ExitStack() as held:
            if self._depth == 0:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                fcntl.flock(held.enter_context(self._file.open("w")), fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

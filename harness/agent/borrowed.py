"""Things taken from the lab for a while (a cut, an impairment, a capture), each with the way to give it back.

What is taken is written down first, in a journal beside a file that the agent keeps locked. An agent that is killed
loses the lock, and the next one gives back what it finds there: nothing stays borrowed by the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

FOLDER = Path("/run/elasticlab/borrowed")
Way = tuple[str, dict[str, Any]]
"""How something is given back: the name of a function of `ways`, and its arguments."""


class Borrowed:
    def __init__(self, ways: Mapping[str, Callable[..., Any]], folder: Path = FOLDER) -> None:
        self._ways = ways
        self._lock = threading.Lock()
        self._taken: dict[str, Way] = {}
        self._ended: set[str] = set()
        self._over = False
        folder.mkdir(parents=True, exist_ok=True)
        self._inherit(folder)
        self._journal = folder / f"{uuid4().hex}.json"
        # Nobody sees it before it is locked: another agent would take it for one of a dead.
        fresh = self._journal.with_suffix(".new")
        self._held = fresh.open("w")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        fresh.rename(self._journal.with_suffix(".lock"))

    def _inherit(self, folder: Path) -> None:
        """Give back what agents that were killed had taken."""
        for lock in folder.glob("*.lock"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), lock.open() as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its agent lives if this blocks
                journal = lock.with_suffix(".json")
                if journal.exists():
                    self._give_back(json.loads(journal.read_text()))
                journal.unlink(missing_ok=True)
                lock.unlink()

    def _give_back(self, ways: Iterable[Way]) -> None:
        for way in ways:
            with contextlib.suppress(Exception):  # it may be gone with its node or its lab; the others still count
                self._undo(way)

    def _write_down(self) -> None:
        """Whole or not at all: an agent may be killed here."""
        fresh = self._journal.with_suffix(".new")
        fresh.write_text(json.dumps(list(self._taken.values())))
        fresh.rename(self._journal)

    def take(self, name: str, do: Callable[[], Any], undo: Way) -> Any:
        """Do something that `undo` takes back. Taking again what is taken gives it back first.

        The way back is known before anything is done, so that a failure half way is undone too.
        """
        with self._lock:
            if self._over or name in self._ended:
                raise LookupError(f"whoever asked for it waits no longer: {name}")
            if (previous := self._taken.pop(name, None)) is not None:
                self._undo(previous)
            self._taken[name] = undo
            self._write_down()
            try:
                return do()
            except BaseException:
                del self._taken[name]
                with contextlib.suppress(Exception):  # the first error tells more than that of its undoing
                    self._undo(undo)
                self._write_down()
                raise

    def give_back(self, name: str) -> Any:
        with self._lock:
            if name not in self._taken:
                raise LookupError(f"not taken, so there is nothing to give back: {name}")
            value = self._undo(self._taken[name])
            del self._taken[name]
            self._write_down()
            return value

    def end(self, name: str) -> None:
        """It is not taken, and never will be: who waits no longer for it to be taken may be heard before that."""
        with self._lock:
            if name in self._taken:
                self._undo(self._taken[name])
                del self._taken[name]
                self._write_down()
            else:
                self._ended.add(name)

    def give_back_all(self) -> None:
        """Nothing is taken afterwards: what was asked for last may not have begun yet."""
        with self._lock:
            self._over = True
            self._give_back(reversed(list(self._taken.values())))
            self._taken.clear()
            self._write_down()

    def _undo(self, way: Way) -> Any:
        name, arguments = way
        return self._ways[name](**arguments)

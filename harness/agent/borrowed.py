"""Things taken from the lab for a while (a cut, an impairment, a capture), each with the way to give it back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any


class Borrowed:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._undo: dict[str, Callable[[], Any]] = {}

    def take(self, name: str, do: Callable[[], Any], undo: Callable[[], Any]) -> Any:
        """Do something that `undo` takes back. Taking again what is taken replaces it.

        The way back is known before anything is done, so that a failure half way is undone too.
        """
        with self._lock:
            if (previous := self._undo.pop(name, None)) is not None:
                previous()
            self._undo[name] = undo
            try:
                return do()
            except BaseException:
                del self._undo[name]
                with contextlib.suppress(Exception):  # the first error tells more than that of its undoing
                    undo()
                raise

    def give_back(self, name: str) -> Any:
        with self._lock:
            undo = self._undo.pop(name, None)
        if undo is None:
            raise LookupError(f"not taken, so there is nothing to give back: {name}")
        return undo()

    def give_back_all(self) -> None:
        with self._lock:
            undos = list(self._undo.values())
            self._undo.clear()
        for undo in reversed(undos):
            with contextlib.suppress(Exception):  # the lab may be gone already; every other thing is still given back
                undo()

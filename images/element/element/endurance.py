"""What the machine refuses for a while (a full disk, no memory to fork) ends nobody who looks after something."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self


class Endurance:
    """A context: an ``OSError`` in it is told, once for each reason, and ends the context alone. All else ends more."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what = log, what
        self._told: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        before, self._told = self._told, str(error) if error else None
        if not isinstance(error, OSError):
            return False
        if self._told != before:
            self._log.error("%s: %s; tried again", self._what, error)
        return True

"""Steps of a test: what it does, in the report as they nest, and on the timeline when they were.

`step` is Allure's own: `with step("…"):`, or a decorator. Whoever writes `allure.step` gets the same.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import allure
from allure_commons import hookimpl, plugin_manager

step = allure.step


@dataclass
class Step:
    """One that has begun: seconds since the epoch, and how many others are around it."""

    title: str
    begun: float
    depth: int
    ended: float | None = None
    error: BaseException | None = None


class Steps:
    """Those of one test, in their order."""

    def __init__(self) -> None:
        self.taken: list[Step] = []
        self._open: dict[Any, Step] = {}

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Every step inside the block is heard of, whoever takes it."""
        plugin_manager.register(self)
        try:
            yield
        finally:
            plugin_manager.unregister(self)

    @hookimpl
    def start_step(self, uuid: Any, title: str) -> None:
        made = self._open[uuid] = Step(title, time.time(), len(self._open))
        self.taken.append(made)

    @hookimpl
    def stop_step(self, uuid: Any, exc_val: BaseException | None) -> None:
        if made := self._open.pop(uuid, None):
            made.ended, made.error = time.time(), exc_val

    def around(self, error: BaseException) -> list[str]:
        """The titles of the steps that an error is leaving, or has left: the outermost first."""
        return [one.title for one in self.taken if one.ended is None or one.error is error]

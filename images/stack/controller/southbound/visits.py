"""Questions to many devices at once, each with the time that it takes: who takes longer than the others is not waited
for. What it says in the end is kept for whoever asks the same again, unless it is None: that there is nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: So many seconds after the last of those that have answered, those that have not are left to themselves. (A device at
#: work answers in a fraction of that; where all are slow, somebody answers all the time.)
LATER = 1.0


@dataclass(frozen=True)
class Question(Generic[T]):
    """What a device is asked; an answer to an equal ``about`` is an answer to this."""

    about: object
    ask: Callable[[], Coroutine[Any, Any, T | None]]


class Visits(Generic[T]):
    """One question to a device at a time. ``later`` is called when one that was not waited for has answered."""

    def __init__(self, later: Callable[[], None]) -> None:
        self._later = later
        self._asked: dict[str, tuple[object, asyncio.Task[T | None]]] = {}

    @property
    def busy(self) -> frozenset[str]:
        """Devices that have not answered yet."""
        return frozenset(name for name, (_, task) in self._asked.items() if not task.done())

    async def answers(self, questions: Mapping[str, Question[T]]) -> dict[str, T]:
        """Of those that answer while the others do, also if they had been asked before. Raises what a question did."""
        for name, question in questions.items():
            if name in self._asked and self._is_good(*self._asked[name], question):
                continue
            self._asked[name] = question.about, asyncio.create_task(question.ask(), name=f"question to {name}")
        waiting = {task for name, (_, task) in self._asked.items() if name in questions}
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=LATER, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
        for task in waiting:
            task.add_done_callback(lambda _: self._later())
        found: dict[str, T] = {}
        for name, question in questions.items():
            about, task = self._asked[name]
            if task.done():
                del self._asked[name]
                answer = task.result()
                if answer is not None and about == question.about:
                    found[name] = answer
        return found

    def _is_good(self, about: object, task: asyncio.Task[T | None], question: Question[T]) -> bool:
        """Is what was asked before, or is still being asked, as good as to ask now? What went wrong is to be told."""
        if not task.done():
            return True
        return about == question.about and (task.exception() is not None or task.result() is not None)

    async def close(self) -> None:
        """Nobody is asked any more."""
        tasks = [task for _, task in self._asked.values()]
        self._asked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

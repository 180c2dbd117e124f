"""Tasks of a process that go on for ever, as one: if one fails, the process ends and its supervisor starts a whole one.

A process that has lost a part looks alive and is not: it answers, and no longer hears of revocations, say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def together(loops: Sequence[Coroutine[None, None, None]], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run them while the body does. `stop` is set when one fails; that failure is raised when the body has ended."""
    failures: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.critical("a part of the process has failed for good", exc_info=failure)
            failures.append(failure)
            stop.set()

    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]

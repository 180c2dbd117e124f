"""The one thread that changes the machine: the vici session and netlink are used by one at a time.

What it does may take seconds, and minutes on a machine that is overloaded. Whoever cannot wait for so long is served
between two of its steps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread, and what it is to do."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="system")
        self._urgent: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    async def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Do something when all that came before is done."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def do_soon(self, function: Callable[[], T]) -> T:
        """Do something that takes a moment before all that waits, and in the midst of what is under way."""
        future: Future[T] = Future()
        self._urgent.append((future, function))
        self._thread.submit(self.pause)
        return await asyncio.wrap_future(future)

    def pause(self) -> None:
        """Called in the thread, between two steps of what takes long: do what is urgent."""
        while self._urgent:
            future, function = self._urgent.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

"""asyncio beside gevent: a loop in a thread of the system's own, and what it says told in gevent's.

Locust lives in gevent's loop. Clients here are asyncio's, so they get a thread, which Locust's loop never waits for,
nor it for Locust's: neither blocks the other. This needs Locust without its monkey patching, for a patched thread is
no thread (`perf.load.unpatched`).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import is_module_patched

Said = Callable[[], None]


class Beside:
    """Coroutines run on its loop; what they `say` is done in gevent's, one after the other."""

    def __init__(self) -> None:
        if is_module_patched("threading"):
            raise RuntimeError("gevent has replaced threads; see perf.load.unpatched")
        self._said: deque[Said] = deque()
        self._news = Event()
        # The one thing of a hub that another thread may touch.
        self._bell = gevent.get_hub().loop.async_()
        self._bell.start(self._news.set)
        self._teller = gevent.spawn(self._tell)
        self.loop = asyncio.new_event_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, name="asyncio", daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """From gevent's side; returns at once."""
        self.loop.call_soon_threadsafe(self._begin, work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def say(self, said: Said) -> None:
        """From the loop's side, or any thread's."""
        self._said.append(said)
        self._bell.send()

    def _tell(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            while self._said:
                self._said.popleft()()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """From gevent's side: until this is done, while everything else goes on; what it returned."""
        done = asyncio.run_coroutine_threadsafe(work, self.loop)
        over = Event()
        done.add_done_callback(lambda _: self.say(over.set))
        over.wait()
        return done.result()

    def off(self, call: Callable[[], None]) -> None:
        """From gevent's side: the same for what blocks, in a thread of its own."""
        self.wait(asyncio.to_thread(call))

    def drain(self, seconds: float) -> int:
        """Wait for all that was begun; what takes longer is cancelled. How many that were."""
        left: int = self.wait(self._drain(seconds))
        return left

    async def _drain(self, seconds: float) -> int:
        # What `begin` has announced comes first.
        await asyncio.sleep(0)
        tasks = set(self._under_way)
        if not tasks:
            return 0
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

    def close(self) -> None:
        """Nothing may be under way any more."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        while self._said:
            self._said.popleft()()
        self._bell.stop()
        self._bell.close()
        self._teller.kill()

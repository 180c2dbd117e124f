"""Calling home: RFC 8071. The server makes the TCP connection; above it nothing is turned around."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from random import uniform

log = logging.getLogger(__name__)
_FIRST = 0.5
LAST = 60.0
"""Seconds between attempts, at most; unless the caller says otherwise."""
# A connection that lived this long was a good one: the next attempt comes soon.
_GOOD = 10.0


class CallHome:
    """Calls one client, and calls it again whenever the connection is gone, less and less often."""

    def __init__(self, call: Callable[[str, int], Awaitable[None]], host: str, port: int, last: float = LAST) -> None:
        self._call = call
        self._last = last
        self._host, self._port = host, port
        #: Why the last attempt that is over failed; None when it was a good one, or the first is under way.
        self.problem: str | None = None
        self.attempts = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        wait = min(_FIRST, self._last)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.attempts += 1
            try:
                await self._call(self._host, self._port)
                self.problem = None
            except Exception as error:
                # Whatever is wrong with the peer (refused, unknown, no TLS), it may be right the next time.
                self.problem = f"{type(error).__name__}: {error}"
                log.info("calling %s port %d failed: %s", self._host, self._port, self.problem)
            if loop.time() - began >= _GOOD:
                wait = min(_FIRST, self._last)
            # Spread, so that all devices of a controller that restarts do not come at once.
            await asyncio.sleep(uniform(wait / 2, wait))  # noqa: S311 - no secret
            wait = min(2 * wait, self._last)

    def again(self) -> None:
        """End the connection that is there and call anew: with files that have changed since."""
        self._task.cancel()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Call no more; a connection that is there ends with its sessions."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

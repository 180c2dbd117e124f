"""Alarms about whoever fails at the door. TLS refuses them on the loop, for as many as come; disks are slower."""

from __future__ import annotations

import asyncio
import logging

from manager.alarms import Alarms
from manager.legality import Refusal

log = logging.getLogger(__name__)

WAITING = 200
"""Alarms that wait to be written, at most; the list keeps no more of these either."""


class Strangers:
    """Writes in the background, one alarm after the other, and once what is said again before it is written."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._waiting: dict[tuple[str, str], None] = {}
        self._writer: asyncio.Task[None] | None = None

    def refused(self, address: str, reason: str) -> None:
        """A TLS handshake failed (``stackkit.server.Listener.on_refused``); what concerns certificates is an alarm."""
        log.warning("handshake refused", extra={"peer": address, "reason": reason})
        if "certificate" not in reason.lower() or len(self._waiting) >= WAITING:
            return
        self._waiting[address, reason] = None
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            address, reason = next(iter(self._waiting))
            del self._waiting[address, reason]
            text = f"{address}: {reason}"[:500]
            try:
                await asyncio.to_thread(self._alarms.raise_, Refusal.FOREIGN.value, address, text)
            except Exception:
                log.exception("an alarm could not be written")

    async def close(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            await self._writer

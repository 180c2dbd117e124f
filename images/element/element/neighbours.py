"""Asks for neighbours on behalf of the fast path, which asks nobody (`element.plan.fastpath`).

It sends to whom Linux knows, without saying that it did: so Linux would forget a station that is spoken to all the
time, or go on sending to one that has left. What is known is looked at often: who is in doubt is asked for, as any
packet on the other way would have asked (RFC 1122, section 2.3.2.1; RFC 4861, section 7.3), and when one does not
answer, the fast path is emptied, so that whatever goes to it is told.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from netlinkkit.requests import Refused, Wire

from element.apply import asked, told
from element.endurance import Endurance

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds. Less than Linux keeps a neighbour that nobody asks for (gc_stale_time, 60 s)."""
REST = 30.0
"""Seconds between two times that the fast path is emptied, at least: any station can be silent under many names."""

NUD_NONE, NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE = 0x00, 0x01, 0x02, 0x04
NUD_DELAY, NUD_PROBE, NUD_FAILED = 0x08, 0x10, 0x20
"""States of linux/neighbour.h."""
_NTF_USE = 0x01

_HOPEFUL = (NUD_NONE, NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE)
"""Whoever sends to one of these may believe that it is there."""
_IN_DOUBT = (NUD_STALE, NUD_NONE)
"""None: it was forgotten, and the fast path has looked for it since."""
_SILENT = (NUD_FAILED, NUD_INCOMPLETE)
"""Incomplete, of one that was hopeful: it has failed, and somebody has sent to it since (who is asked has 3 s)."""


class Neighbour(NamedTuple):
    """Somebody on one of our links."""

    link: int
    """Its number."""
    address: str


Neighbours = Mapping[Neighbour, int]
"""With their states (NUD_* of linux/neighbour.h)."""


def look(links: Collection[str]) -> Neighbours:
    """Whom Linux knows on these links, and what it knows; ``OSError`` where it does not say."""
    indexes = {index for index, name in socket.if_nameindex() if name in links}
    return {Neighbour(link, address): state for link, address, state in told.neighbours() if link in indexes}


def ask(whom: Iterable[Neighbour]) -> None:
    """Have Linux ask for them; who has gone in the meantime is asked for by the next packet."""
    with Wire() as wire:
        for neighbour in whom:
            with suppress(Refused):
                wire.ask([asked.neighbour(neighbour.link, neighbour.address, _NTF_USE)])


class Inquiries:
    """Who is asked for, and what is done when nobody answers.

    ``links`` says where the fast path begins and ends, and ``empty`` ends it for all that take it now.
    """

    def __init__(
        self,
        links: Callable[[], Collection[str]],
        empty: Callable[[], Awaitable[None]],
        look: Callable[[Collection[str]], Neighbours] = look,
        ask: Callable[[Iterable[Neighbour]], None] = ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links, self._empty, self._look, self._ask, self._clock = links, empty, look, ask, clock
        self._hopeful: frozenset[Neighbour] = frozenset()
        self._due = False
        self._next = 0.0

    async def run(self) -> None:
        """Never ends by itself."""
        endurance = Endurance(log, "the fast path's neighbours are not asked for")
        while True:
            with endurance:
                await self.inquire()
            await asyncio.sleep(PERIOD)

    async def inquire(self) -> None:
        """Look once."""
        links = self._links()
        now = await asyncio.to_thread(self._look, links) if links else {}
        if doubtful := [who for who, state in now.items() if state in _IN_DOUBT]:
            await asyncio.to_thread(self._ask, doubtful)
        silent = [who for who in self._hopeful if now.get(who) in _SILENT]
        self._hopeful = frozenset(who for who, state in now.items() if state in _HOPEFUL)
        if silent:
            # Not all by name: there are as many as somebody on the link makes up.
            log.info("no answer from %s (%d in all): the fast path is to be emptied", silent[0].address, len(silent))
            self._due = True
        if self._due and self._clock() >= self._next:
            self._next = self._clock() + REST
            await self._empty()
            self._due = False

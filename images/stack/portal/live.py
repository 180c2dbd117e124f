"""What changes while somebody looks: GRO's events, told to the browser as pieces of page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from . import pages
from .desk import ORDERING, Event, Service
from .failures import Failure, LoginNeeded, Refused
from .keeper import Keeper
from .sessions import Session

Json = Any

LOOK_SECONDS = 5.0
"""So often a stream asks whether its session still holds; what it sends then keeps proxies and dead peers honest."""
_END = "event: end\ndata: end\n\n"


class View(Protocol):
    """A piece of page, and what GRO tells about its content."""

    path: str

    def html(self) -> str:
        """The piece as it is now."""

    async def apply(self, event: Event) -> None:
        """Follow an event."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""


class OrderView:
    """An order's state and steps."""

    def __init__(self, session: Session, order: Json) -> None:
        self.path = f"{ORDERING}/serviceOrder/{order['id']}/events"
        self._session = session
        self._order = order

    def html(self) -> str:
        return pages.text("order_panel.html", self._session, order=self._order)

    @property
    def over(self) -> bool:
        return self._order["state"] in pages.ENDED

    async def apply(self, event: Event) -> None:
        if event.kind == "step":
            steps = {step["id"]: step for step in self._order.get("milestone", [])}
            self._order["milestone"] = list({**steps, event.data["id"]: event.data}.values())
        elif event.kind == "state":
            self._order["state"] = event.data["state"]
            if event.data.get("problem"):
                self._order["errorMessage"] = [{"reason": event.data["problem"]}]


class SitesView:
    """The table of sites."""

    path = "/sites/events"
    over = False

    def __init__(self, gro: Service, session: Session, sites: list[Json]) -> None:
        self._gro = gro
        self._session = session
        self._sites = {site["id"]: site for site in sites}

    def html(self) -> str:
        sites = sorted(self._sites.values(), key=lambda site: (site["tenant"], site["name"]))
        return pages.text("sites_table.html", self._session, sites=sites)

    async def apply(self, event: Event) -> None:
        if event.kind == "site":
            self._sites[event.data["id"]] = event.data
        elif event.kind == "gone":
            self._sites.pop(event.data["id"], None)
        elif event.kind == "comment":
            # GRO listens from here on: what went between our first look and now is not told as gone.
            self._sites = {site["id"]: site for site in await self._gro.get(self._session, "/sites")}


async def stream(keeper: Keeper, gro: Service, session: Session, view: View) -> AsyncIterator[str]:
    """Server-sent events: each the piece as it has become; `end` when nothing more will come.

    The stream ends without `end` when GRO's does (it starts anew, perhaps): the browser comes again and asks.
    """
    shown = ""
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    reader = asyncio.create_task(_read(gro, session, view.path, events))
    try:
        while True:
            html = view.html()
            if html != shown:
                shown = html
                yield _message(html)
            if view.over:
                yield _END
                return
            try:
                event = await asyncio.wait_for(events.get(), LOOK_SECONDS)
            except TimeoutError:
                if not await _holds(keeper, session):
                    yield _message(pages.text("session_over.html", None)) + _END
                    return
                yield ": still here\n\n"
                continue
            # What comes at once is shown at once.
            while event is not None:
                await view.apply(event)
                if events.empty():
                    break
                event = events.get_nowait()
            if event is None:
                return
    except (Failure, Refused):
        return  # told by the page that the browser gets when it asks again
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader


async def _read(gro: Service, session: Session, path: str, events: asyncio.Queue[Event | None]) -> None:
    try:
        async for event in gro.events(session, path):
            events.put_nowait(event)
    except (Failure, Refused):
        pass
    finally:
        events.put_nowait(None)


async def _holds(keeper: Keeper, session: Session) -> bool:
    known = keeper.sessions.get(session.secret, use=False)
    if known is None:
        return False
    try:
        await keeper.fresh(known)
    except LoginNeeded:
        return False
    except Failure:
        return True  # identity is away: nobody said that the session is over
    return True


def _message(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"

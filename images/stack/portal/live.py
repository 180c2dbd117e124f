"""An order's steps as they happen: GRO's events, told to the browser as pieces of page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from . import pages
from .desk import ORDERING, Event, Service
from .failures import Failure, LoginNeeded, Refused
from .keeper import Keeper
from .sessions import Session

Json = Any

LOOK_SECONDS = 5.0
"""So often a stream asks whether its session still holds; what it sends then keeps proxies and dead peers honest."""
_END = "event: end\ndata: end\n\n"


async def panel(keeper: Keeper, gro: Service, session: Session, order: Json) -> AsyncIterator[str]:
    """Server-sent events: each the panel of the order as it has become; `end` when nothing more will come."""
    shown = ""
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    reader = asyncio.create_task(_read(gro, session, order["id"], events))
    try:
        while True:
            html = pages.text("order_panel.html", session, order=order)
            if html != shown:
                shown = html
                yield _message(html)
            if order["state"] in pages.ENDED:
                yield _END
                return
            try:
                event = await asyncio.wait_for(events.get(), LOOK_SECONDS)
            except TimeoutError:
                if not await _holds(keeper, session):
                    yield _END
                    return
                yield ": still here\n\n"
                continue
            if event is None:
                return  # GRO has ended the stream, perhaps to start anew: the browser comes again and asks
            _apply(order, event)
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader


async def _read(gro: Service, session: Session, order: str, events: asyncio.Queue[Event | None]) -> None:
    try:
        async for event in gro.events(session, f"{ORDERING}/serviceOrder/{order}/events"):
            events.put_nowait(event)
    except (Failure, Refused, LoginNeeded):
        pass  # told by the page that the browser gets when it asks again
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


def _apply(order: Json, event: Event) -> None:
    """Bring the order's document up to date with an event."""
    if event.kind == "step":
        steps = order.setdefault("milestone", [])
        for index, step in enumerate(steps):
            if step["id"] == event.data["id"]:
                steps[index] = event.data
                return
        steps.append(event.data)
    elif event.kind == "state":
        order["state"] = event.data["state"]
        if event.data.get("problem"):
            order["errorMessage"] = [{"reason": event.data["problem"]}]


def _message(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"

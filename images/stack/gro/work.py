"""Everything but the listeners, at work: sagas of a former process go on, callbacks go out, events come in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
from stackkit import durable
from stackkit.database import Database

from gro import hub
from gro.catalogue import Catalogue
from gro.desk import Desk
from gro.fulfilment import KIND, Fulfilment, observer
from gro.notices import Notices
from gro.restconf import Controller, Manager
from gro.watch import Watch


@contextlib.asynccontextmanager
async def at_work(
    database: Database,
    offers: Catalogue,
    controller: Controller,
    manager: Manager,
    outside: httpx.AsyncClient,
    *,
    domain: str,
    internal_callbacks: bool = False,
) -> AsyncIterator[Desk]:
    """`outside` calls listeners, whom nobody here knows: it carries no credentials. `domain` is the operator's."""
    notices = Notices()
    fulfilment = Fulfilment(database, controller, manager)
    engine = durable.Engine(database, {KIND: fulfilment.steps}, [observer(notices, fulfilment.waiting)])
    courier = hub.Courier(database, outside, notices, allow_internal=internal_callbacks)
    watch = Watch(controller, manager, fulfilment.waiting, engine.wake, notices)
    fulfilment.told = watch.told
    await engine.start()
    tasks = [asyncio.create_task(courier.run(), name="courier"), asyncio.create_task(watch.run(), name="watch")]
    try:
        yield Desk(database, offers, engine, controller, manager, notices, watch, domain, internal_callbacks)
    finally:
        await engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The life of one ordered site: accepted, applied (packets pass), completed, ended; or cancelled on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import Any

from perf.load.clients import Orders, Tell, UserError, telling
from perf.load.sites import Packets, Site

Json = Any
ORDER = "order"
Phase = Callable[[str, float], None]
"""Is told a step of an order and its seconds."""


class Journey:
    """What somebody does with one site."""

    def __init__(
        self, orders: Orders, packets: Packets, threads: Executor, tell: Tell, phase: Phase, patience: float
    ) -> None:
        self.orders, self.packets, self.tell, self.phase = orders, packets, tell, phase
        self._threads, self._patience = threads, patience

    async def live(self, site: Site, due: float, looking: Awaitable[bool] | None = None) -> None:
        """Ordered, used, and given back. What is counted is counted from `due`, when somebody meant to order. With
        `looking` somebody looks already whether packets pass.
        """
        async with asyncio.timeout_at(self._until(due)):
            with telling(self.tell, ORDER, "accepted", due):
                order = await self.orders.place([site.item(self.orders.target.device)])
            async with asyncio.TaskGroup() as both:
                done = both.create_task(self._completed(order, due))
                both.create_task(self._applied(site, due, looking))
            await self._end(site, done.result())

    async def cancel(self, site: Site, due: float) -> None:
        """Ordered and cancelled at once; if it was too late for that, ended. Nothing passes then."""
        async with asyncio.timeout_at(self._until(due)):
            with telling(self.tell, ORDER, "accepted", due):
                order = await self.orders.place([site.item(self.orders.target.device)])
            begun = time.monotonic()
            with telling(self.tell, "cancel", "accepted", begun):
                await self.orders.cancel(order)
            with telling(self.tell, "cancel", "undone", begun):
                ended = await self.orders.ended(order)
                if ended["state"] not in ("cancelled", "completed"):
                    raise UserError(_said(ended))
            if ended["state"] == "completed":
                await self._end(site, ended)
            else:
                await self._nothing_passes(site)

    async def _completed(self, order: str, due: float) -> dict[str, Json]:
        with telling(self.tell, ORDER, "completed", due):
            ended = await self.orders.ended(order)
            if ended["state"] != "completed":
                raise UserError(_said(ended))
        for step in ended.get("milestone", []):
            if "endDate" in step:
                self.phase(step["name"], _at(step["endDate"]) - _at(step["startDate"]))
        return ended

    async def _applied(self, site: Site, due: float, looking: Awaitable[bool] | None) -> None:
        with telling(self.tell, ORDER, "applied", due):
            left = max(0.1, due + self._patience - time.monotonic())
            if not await (looking or self._in_thread(self.packets.until_answered, site, left)):
                raise UserError(f"no packet of {site.name} has passed within {self._patience:g} s")

    async def _end(self, site: Site, done: dict[str, Json]) -> None:
        service = done["serviceOrderItem"][0]["service"]["id"]
        begun = time.monotonic()
        with telling(self.tell, "end", "accepted", begun):
            order = await self.orders.place([{"id": "1", "action": "delete", "service": {"id": service}}])
        with telling(self.tell, "end", "completed", begun):
            ended = await self.orders.ended(order)
            if ended["state"] != "completed":
                raise UserError(_said(ended))
        await self._nothing_passes(site)

    async def _nothing_passes(self, site: Site) -> None:
        with telling(self.tell, "end", "nothing passes"):
            if await self._in_thread(self.packets.reaches, site):
                raise UserError(f"packets of {site.name} pass, though it has ended")

    async def _in_thread(self, call: Callable[..., bool], *arguments: object) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _until(self, due: float) -> float:
        """For all of it: an order, and its end, each have their time. The loop's clock is the monotonic one."""
        return due + 2 * self._patience


def _said(order: dict[str, Json]) -> str:
    reasons = [one.get("reason", "") for one in order.get("errorMessage", [])]
    return f"order {order['id']} is {order['state']}: {'; '.join(reasons)}"


def _at(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()

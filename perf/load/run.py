"""One process's part of a run: its clients, its sites, what it has seen. Nothing of Locust is here."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from harness.lab import Lab
from perf import conditions
from perf.load.clients import Netconf, Orders, Person, Restconf, UserError, http, telling
from perf.load.journeys import Journey
from perf.load.scenario import Firing, Scenario
from perf.load.seen import FLOOR, FLOOR_IN_FAULT, Seen
from perf.load.sites import EVERY, Packets, Site, Slots, made
from perf.load.target import Target

Json = Any
Told = Callable[[str, str, float, Exception | None], None]
"""Kind, what, milliseconds, what went wrong."""
_FLOOR_EVERY = 0.25
_SKY_EVERY = 1.0
_BATCH = 25
"""Services in one order of those that are there before."""
_SWEEPS = 4
"""So many times its patience a run waits for what it has left."""
_THREADS = 48
_MOST_ASKED = 500
"""Echo requests a second of orders that are meant at once: more would keep the lab's processor busy."""
_PEOPLE = 8
"""At the portal, each with a browser of their own."""


class Run:
    """Made and used on the asyncio side, except for `lab` and what only reads."""

    def __init__(self, lab: Lab, target: Target, scenario: Scenario, part: int, parts: int, tell: Told) -> None:
        self.lab, self.scenario, self.seen = lab, scenario, Seen()
        self._target, self._tell_others = target, tell
        # Each site that is on order asks for an answer all the time, and none may wait for another to have its own.
        self._threads = ThreadPoolExecutor(max(_THREADS, scenario.slots), thread_name_prefix="packets")
        self._packets = Packets(lab)
        self._context = ssl.create_default_context(cafile=str(target.authority))
        # The first are those that exist before; each process has its own of the others.
        self._existing = made(0, scenario.existing)
        self._sites = made(scenario.existing + part, scenario.slots, parts)
        self._slots = Slots(self._sites)
        self._part = part
        self._numbers = iter(range(1_000_000_000))
        self._orders_begun = 0
        self._plugged = self._over = False
        self._faults_on = 0

    # -- before and after --------------------------------------------------------------------------------------------

    async def prepare(self, *, packets: bool) -> None:
        """Clients; with `packets` hosts in the sites, of which nothing passes from any."""
        self._plugged = packets and bool(self.scenario.users.get("orders"))
        self._web = http(self._target, self._context)
        self._orders = Orders(self._target, self._web, self.tell)
        self._restconf = Restconf(self._target, self._web, self.tell)
        self._people = [Person(self._target, self.tell, self._context) for _ in range(_PEOPLE)]
        self._next_person = itertools.cycle(self._people)
        self._netconf = Netconf(self._target, self.tell)
        self._journey = Journey(
            self._orders, self._packets, self._threads, self.tell, self._phase, self.scenario.patience
        )
        if self._plugged:
            await self._off(self._packets.plug_in, self._sites)
            await self._off(self._packets.silent, self._sites)

    async def place_existing(self) -> None:
        """So many services are there, and none of an earlier run. Not counted."""
        await self._sweep()
        for first in range(0, len(self._existing), _BATCH):
            sites = self._existing[first : first + _BATCH]
            items = [site.item(self._target.device, number) for number, site in enumerate(sites, 1)]
            ended = await self._orders.ended(await self._orders.place(items))
            if ended["state"] != "completed":
                raise UserError(f"services that were to exist before do not: {ended['state']}")

    async def finish(self, *, sweep: bool) -> None:
        """The lab is as it was found, as far as it is ours."""
        if sweep:
            begun = time.monotonic()
            try:
                await self._sweep()
            except (TimeoutError, UserError) as error:
                self.tell("run", "sweep", begun, UserError(f"services are left: {error or 'they do not end'}"))
        if self._plugged:
            await self._off(self._packets.unplug, self._sites)
        await self._netconf.close()
        for person in self._people:
            await person.close()
        await self._web.aclose()
        self._threads.shutdown()

    async def _sweep(self) -> None:
        """End every service of ours, whatever left it behind, and wait for those that are only on their way."""
        async with asyncio.timeout(_SWEEPS * self.scenario.patience):
            while ours := [one for one in await self._orders.services() if _is_ours(one)]:
                items = [
                    {"id": str(number), "action": "delete", "service": {"id": one["id"]}}
                    for number, one in enumerate((one for one in ours if one["state"] == "active"), 1)
                ]
                for first in range(0, len(items), _BATCH):
                    with contextlib.suppress(UserError):  # refused while an earlier end of one of them is on its way
                        await self._orders.ended(await self._orders.place(items[first : first + _BATCH]))
                await asyncio.sleep(_SKY_EVERY)

    # -- load --------------------------------------------------------------------------------------------------------

    async def begin(self, interface: str, due: float) -> None:
        """What a user of an interface does, meant to begin at `due` (time.monotonic()). Never raises."""
        self.seen.late.append(max(0.0, 1000 * (time.monotonic() - due)))
        does: Mapping[str, Callable[[float], Coroutine[Any, Any, None]]] = {
            "orders": self._order,
            "cancelled orders": self._cancelled,
            "restconf": lambda due: self._restconf.edit(self._name("r"), due),
            "netconf": lambda due: self._netconf.edit(self._name("n"), due),
            "portal": lambda due: next(self._next_person).visit(due),
        }
        with self._noted(interface, due):
            await does[interface](due)

    @contextlib.contextmanager
    def _noted(self, what: str, due: float) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self.tell(what, "in time", due, UserError(f"it was given up: {error or 'too late'}"))
        except asyncio.CancelledError:
            self.tell(what, "in time", due, UserError("it had not ended when the run did"))
            raise
        except Exception:  # noqa: S110 (was told where it happened)
            pass

    async def orders_at_once(self, number: int) -> None:
        """So many orders, meant at a moment at which packets are asked for from each of the sites already."""
        sites = [self._taken(time.monotonic()) for _ in range(number)]
        ask = partial(self._packets.until_answered, every=max(EVERY, number / _MOST_ASKED))
        looking = [asyncio.create_task(self._off(ask, site, 2 * self.scenario.patience)) for site in sites]
        await self._off(self._packets.asking, sites)
        due = time.monotonic()

        async def live(site: Site, seen: asyncio.Task[bool]) -> None:
            with self._noted("orders", due):
                await self._journey.live(site, due, seen)
                self._slots.give(site)

        await asyncio.gather(*map(live, sites, looking))

    async def _order(self, due: float) -> None:
        with self._slot(due) as site:
            await (self._journey.cancel if self._next_is_cancelled() else self._journey.live)(site, due)

    async def _cancelled(self, due: float) -> None:
        with self._slot(due) as site:
            await self._journey.cancel(site, due)

    def _next_is_cancelled(self) -> bool:
        """Evenly: of four with a share of a quarter the fourth."""
        self._orders_begun += 1
        before, now = (int(number * self.scenario.cancelled) for number in (self._orders_begun - 1, self._orders_begun))
        return now > before

    @contextlib.contextmanager
    def _slot(self, due: float) -> Iterator[Site]:
        """A site for one order. One whose order failed is not used again: what is left there would count twice."""
        site = self._taken(due)
        yield site
        self._slots.give(site)

    def _taken(self, due: float) -> Site:
        if site := self._slots.take():
            return site
        with telling(self.tell, "order", "site", due):
            raise UserError(f"all {self.scenario.slots} sites are in use: give the scenario more `slots`")

    def _name(self, kind: str) -> str:
        return f"load-{kind}{self._part}-{next(self._numbers)}"

    # -- seeing ------------------------------------------------------------------------------------------------------

    def tell(self, kind: str, what: str, since: float, error: Exception | None = None) -> None:
        took = 1000 * (time.monotonic() - since)
        self.seen.add(f"{kind} {what}", took, "" if error is None else f"{type(error).__name__}: {error}")
        self._tell_others(kind, what, took, error)

    def _phase(self, name: str, seconds: float) -> None:
        self.seen.phases.append((name, seconds))

    async def watch(self) -> None:
        """The floor and the machine, until `stop_watching`."""
        await asyncio.gather(self._ask_floor(), self._watch_sky())

    def stop_watching(self) -> None:
        self._over = True

    async def _ask_floor(self) -> None:
        """The least that any request costs: the same client, server and machine, and nothing to do."""
        while not self._over:
            begun, in_fault = time.monotonic(), self._faults_on > 0
            error: Exception | None = None
            try:
                (await self._web.get(f"{self._target.url('gro')}/health")).raise_for_status()
            except httpx.HTTPError as failed:
                error = failed
            name = FLOOR_IN_FAULT if in_fault or self._faults_on else FLOOR
            kind, what = name.split(maxsplit=1)
            self.tell(kind, what, begun, error)
            await asyncio.sleep(max(0.0, begun + _FLOOR_EVERY - time.monotonic()))

    async def _watch_sky(self) -> None:
        begun = time.monotonic()
        while not self._over:
            self.seen.skies.append({"at": round(time.monotonic() - begun, 1), **conditions.weather()})
            await asyncio.sleep(_SKY_EVERY)

    # -- faults ------------------------------------------------------------------------------------------------------

    async def fire(self, firing: Firing) -> None:
        """A fault, until it is over."""
        self.seen.fired.append(f"order {firing.at}: {firing.scenario}{f' on {firing.on}' if firing.on else ''}")

        def carry_out() -> None:
            with self.lab.faults(firing.scenario, on=firing.on or None, seconds=firing.seconds) as injection:
                injection.wait()

        self._faults_on += 1
        try:
            await self._off(carry_out)
        except Exception as error:
            self.tell("fault", firing.scenario, time.monotonic(), error)
        finally:
            self._faults_on -= 1

    async def _off(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)


def _is_ours(service: Mapping[str, Json]) -> bool:
    return str(service.get("name", "")).startswith("load-") and service["state"] != "terminated"

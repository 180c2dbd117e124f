"""What happens in the network, as the controller tells it: wakes the orders that wait for it, shows sites as they are.

One subscription of the process to the controller's event stream (RFC 8040 section 6). Whenever it begins, all is read
once: what happened in between is not lost. An order that waits says for what, then looks, then waits: whatever happens
after its look wakes it.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from stackkit.durable import Later

from gro.notices import SITES, Notices
from gro.restconf import Controller, RefusedError, Site

Json = Any
log = logging.getLogger(__name__)

STREAM = "NETCONF-JSON"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
ANY_DEVICE = "device"
"""For a device whose name is not known: any that comes may be it."""


def of_device(name: str) -> str:
    return f"device {name}"


def of_site(id_: str) -> str:
    return f"site {id_}"


class Waiting:
    """Which order waits for what."""

    def __init__(self) -> None:
        self._subjects: dict[str, frozenset[str]] = {}
        self._orders: defaultdict[str, set[str]] = defaultdict(set)

    def expect(self, order: str, subjects: Collection[str]) -> None:
        """From now on, and instead of what was expected before."""
        self.forget(order)
        self._subjects[order] = frozenset(subjects)
        for subject in subjects:
            self._orders[subject].add(order)

    def forget(self, order: str) -> None:
        for subject in self._subjects.pop(order, ()):
            self._orders[subject].discard(order)
            if not self._orders[subject]:
                del self._orders[subject]

    def orders(self, *subjects: str) -> set[str]:
        return {order for subject in subjects for order in self._orders.get(subject, ())}


class Watch:
    """The subscription. `sites`: the live state of each, by id, as far as it is known; `following`: whether it is."""

    def __init__(
        self, controller: Controller, waiting: Waiting, wake: Callable[[str | None], None], notices: Notices
    ) -> None:
        self._controller = controller
        self._waiting = waiting
        self._wake = wake
        self._notices = notices
        self.sites: dict[str, Site] = {}
        self.following = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._controller.restconf.events(STREAM) as events:
                    await self._begin()
                    pause = FIRST_PAUSE
                    async for event in events:
                        await self._happened(event)
                log.info("the controller ended its events; subscribing again")
            except (Later, RefusedError) as error:
                log.info("no events of the controller: %s", error)
            except Exception:
                log.exception("the controller's events cannot be followed; subscribing again")
            self.sites = {}
            self.following.clear()
            self._notices.tell(SITES)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, hides nothing
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _begin(self) -> None:
        self.sites = await self._controller.sites()
        log.info("following the controller's events; it knows %d sites", len(self.sites))
        self._notices.tell(SITES)
        self._wake(None)
        self.following.set()

    async def _happened(self, event: dict[str, Json]) -> None:
        if (device := event.get("elasticlab-network:device-state-changed")) is not None:
            self._wake_for(of_device(device["name"]), ANY_DEVICE)
        if (site := event.get("elasticlab-network:site-state-changed")) is not None:
            id_ = site["site-id"]
            self._wake_for(of_site(id_))
            found = await self._controller.sites({id_})
            self.sites.pop(id_, None)
            self.sites.update(found)
            self._notices.tell(SITES)

    def _wake_for(self, *subjects: str) -> None:
        for order in self._waiting.orders(*subjects):
            self._wake(order)

"""What happens in the network and in the registry: wakes the orders that wait for it, shows sites as they are.

One subscription of the process to the event stream of the controller, and one to that of the manager (RFC 8040
section 6). Whenever one begins, all is read once: what happened in between is not lost. An order that waits says for
what, then looks, then waits: whatever happens after its look wakes it.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from stackkit.durable import Later

from gro.notices import SITES, Notices
from gro.restconf import Controller, Manager, RefusedError, Restconf, Site

Json = Any
log = logging.getLogger(__name__)

STREAM = "NETCONF-JSON"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
REGISTRY = "registry"
"""For a device that must be registered first, or otherwise."""


def of_device(name: str) -> str:
    return f"device {name}"


def of_cloud(vpn: str) -> str:
    return f"cloud of {vpn}"


def of_site(id_: str) -> str:
    return f"site {id_}"


class Waiting:
    """Which order waits for what."""

    def __init__(self) -> None:
        self._subjects: dict[str, frozenset[str]] = {}
        self._orders: defaultdict[str, set[str]] = defaultdict(set)
        #: When an order has last asked the controller how things are, on the loop's clock.
        self.asked: dict[str, float] = {}

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

    def over(self, order: str) -> None:
        """The order has ended."""
        self.forget(order)
        self.asked.pop(order, None)

    def orders(self, *subjects: str) -> set[str]:
        return {order for subject in subjects for order in self._orders.get(subject, ())}


async def follow(
    restconf: Restconf,
    name: str,
    begin: Callable[[], Awaitable[None]],
    happened: Callable[[dict[str, Json]], Awaitable[None]],
    lost: Callable[[], None],
) -> None:
    """Until cancelled: `begin` when a subscription has begun, `happened` for each event, `lost` when it has ended."""
    pause = FIRST_PAUSE
    while True:
        try:
            async with restconf.events(STREAM) as events:
                await begin()
                pause = FIRST_PAUSE
                async for event in events:
                    await happened(event)
            log.info("the %s ended its events; subscribing again", name)
        except (Later, RefusedError) as error:
            log.info("no events of the %s: %s", name, error)
        except Exception:
            log.exception("the events of the %s cannot be followed; subscribing again", name)
        lost()
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, hides nothing
        pause = min(pause * 2, LONGEST_PAUSE)


class Watch:
    """The subscriptions. `sites`: the live state of each, by id, as far as it is known; `following`: whether it is."""

    def __init__(
        self,
        controller: Controller,
        manager: Manager,
        waiting: Waiting,
        wake: Callable[[str | None], None],
        notices: Notices,
    ) -> None:
        self._controller, self._manager = controller, manager
        self._waiting = waiting
        self._wake = wake
        self._notices = notices
        self.sites: dict[str, Site] = {}
        self.following = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(
            follow(self._controller.restconf, "controller", self._begin, self._happened, self._lost),
            follow(self._manager.restconf, "manager", self._registry_begin, self._registry_happened, lambda: None),
        )

    def told(self) -> Mapping[str, Site] | None:
        """Sites as the events have told so far, which may be behind what the controller would answer now; None while
        nobody tells."""
        return self.sites if self.following.is_set() else None

    # -- the network --

    async def _begin(self) -> None:
        self.sites = await self._controller.sites()
        log.info("following the controller's events; it knows %d sites", len(self.sites))
        self._notices.tell(SITES)
        self._wake(None)
        self.following.set()

    def _lost(self) -> None:
        self.sites = {}
        self.following.clear()
        self._notices.tell(SITES)

    async def _happened(self, event: dict[str, Json]) -> None:
        if (device := event.get("elasticlab-network:device-state-changed")) is not None:
            self._wake_for(of_device(device["name"]))
        if (cloud := event.get("elasticlab-network:cloud-state-changed")) is not None:
            self._wake_for(of_cloud(cloud["vpn-id"]))
        if (site := event.get("elasticlab-network:site-state-changed")) is not None:
            id_ = site["site-id"]
            if "gone" in site:
                self.sites.pop(id_, None)
            else:
                self.sites[id_] = site
            self._wake_for(of_site(id_))
            self._notices.tell(SITES)

    # -- the registry --

    async def _registry_begin(self) -> None:
        self._wake_for(REGISTRY)

    async def _registry_happened(self, event: dict[str, Json]) -> None:
        """RFC 6470: somebody has registered a device, or changed what is said of one."""
        if "ietf-netconf-notifications:netconf-config-change" in event:
            self._wake_for(REGISTRY)

    def _wake_for(self, subject: str) -> None:
        for order in self._waiting.orders(subject):
            self._wake(order)

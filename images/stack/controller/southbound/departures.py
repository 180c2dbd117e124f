"""Devices that the operator has taken out of the registry leave the network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from controller.southbound.inventory import Inventory
from controller.southbound.reconcile import Reconciler
from controller.southbound.registry import Registered, Registry
from controller.southbound.sessions import Sessions

log = logging.getLogger(__name__)
RETRY = 2.0


class Departures:
    """Compares who is known with who is registered: at the start, for a crash may have come between the registry's new
    copy and what follows from it, and whenever the registry has changed."""

    def __init__(self, registry: Registry, sessions: Sessions, reconciler: Reconciler, devices: Inventory) -> None:
        self._registry, self._sessions, self._reconciler, self._devices = registry, sessions, reconciler, devices
        self._changed = asyncio.Event()
        registry.listeners.append(self._registry_changed)

    def _registry_changed(self, devices: Mapping[str, Registered]) -> None:
        self._changed.set()

    async def run(self) -> None:
        """For ever. A full disk, say, must not end it."""
        while True:
            self._changed.clear()
            pause = None
            try:
                await self._forget_the_gone()
            except Exception:
                log.exception("what left the registry could not be forgotten; trying again")
                pause = RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _forget_the_gone(self) -> None:
        if not self._registry.known:
            return
        here = {(one.name, one.serial) for one in self._registry.devices.values()}
        for name, facts in self._devices.facts.items():
            if (name, facts.serial) not in here:
                log.info("%s (%s) is registered no more", name, facts.serial)
                self._sessions.dismiss(name)
                await self._reconciler.forget(name)

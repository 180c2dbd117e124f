"""What stands behind the datastore of ordered services: a commit is checked and numbered, then devices follow."""

from __future__ import annotations

import asyncio

from yangkit import Tree

from controller.intent import AllocationStore, Intent, Network, allocate, check_devices, join, pops, read
from controller.southbound.inventory import Inventory


class IntentBackend:
    """A ``yangkit.backend.Backend``: refuses what cannot be, and has numbers on disk before a commit is acknowledged.

    The network follows when running has become another one (``Datastores.change_listeners``): by then it is durable.
    """

    def __init__(self, inventory: Inventory, numbers: AllocationStore) -> None:
        self._inventory, self._numbers = inventory, numbers

    async def apply(self, old: Tree, new: Tree) -> None:
        """Check, and give numbers; ApplyError (place and remedy) refuses."""
        intent = read(new)
        check_devices(intent, self._inventory.facts)
        await asyncio.to_thread(self.number, intent)

    def number(self, intent: Intent) -> Network:
        """Durable numbers for an intent, and its sites joined with devices; ApplyError when a pool is used up."""
        facts = self._inventory.facts
        given = self._numbers.load()
        wanted = allocate(intent, pops(facts), given.table)
        network = join(intent, facts, wanted)
        if wanted != given:
            self._numbers.save(wanted)
        return network

    async def state(self) -> Tree:
        """None yet (elasticlab-network)."""
        return {}

"""What stands behind the datastore of ordered services: a commit is checked and numbered, then devices follow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from yangkit import Tree
from yangkit.backend import Wanted

from controller.intent import (
    AllocationStore,
    Intent,
    Network,
    allocate,
    check_devices,
    compile_network,
    join,
    pops,
    read,
)
from controller.southbound.inventory import Inventory

State = Callable[[], Tree]


class IntentBackend:
    """A ``yangkit.backend.Backend``: refuses what cannot be, and has numbers on disk before a commit is acknowledged.

    The network follows when running has become another one (``Datastores.change_listeners``): by then it is durable.
    """

    def __init__(self, inventory: Inventory, numbers: AllocationStore) -> None:
        self._inventory, self._numbers = inventory, numbers
        # A commit and a pass over the devices may number at the same time, each in a thread.
        self._turn = threading.Lock()
        #: State data by their top-level nodes: on the loop, and what reads the disk.
        self.states: dict[str, State] = {}
        self.stored_states: dict[str, State] = {}

    async def apply(self, old: Tree, new: Tree) -> None:
        """Check, and give numbers; ApplyError (place and remedy) refuses."""
        intent = read(new)
        check_devices(intent, self._inventory.facts)
        await asyncio.to_thread(self.number, intent)

    def number(self, intent: Intent) -> Network:
        """Durable numbers for an intent, and its sites joined with devices; ApplyError when a pool is used up."""
        with self._turn:
            facts = self._inventory.facts
            given = self._numbers.load()
            wanted = allocate(intent, pops(facts), given.table)
            network = join(intent, facts, wanted)
            if wanted != given:
                self._numbers.save(wanted)
            return network

    def compiled(self, tree: Tree, domain: str) -> dict[str, Tree]:
        """What devices would have if this were running; no number is taken. ApplyError if it cannot be."""
        intent = read(tree)
        facts = self._inventory.facts
        check_devices(intent, facts)
        network = join(intent, facts, allocate(intent, pops(facts), self._numbers.load().table))
        return compile_network(network, facts, domain)

    async def state(self, wanted: Wanted = None) -> Tree:
        """Operational data, each module's from who knows it."""
        tree: Tree = {}
        for name, state in self.states.items():
            if wanted is None or name in wanted:
                tree |= state()
        for name, stored in self.stored_states.items():
            if wanted is None or name in wanted:
                tree |= await asyncio.to_thread(stored)
        return tree

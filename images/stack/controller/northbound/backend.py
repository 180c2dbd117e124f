"""What stands behind the datastore of ordered services: a commit is checked and numbered, then devices follow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

from yangkit import Tree
from yangkit.backend import Wanted
from yangkit.paths import Path

from controller.intent import (
    DOMAIN,
    Allocations,
    AllocationStore,
    DeviceFacts,
    Intent,
    Network,
    Parser,
    allocate,
    check_devices,
    compile_network,
    join,
    parse,
    pops,
    read,
)
from controller.service.direct import Note, notes
from controller.service.intent import changed_sites
from controller.southbound.inventory import Inventory

State = Callable[[], Tree]
Part = Callable[[Path], Tree | None]


class IntentBackend:
    """A ``yangkit.backend.Backend`` with its check: refuses what cannot be, and has numbers on disk before a commit is
    acknowledged.

    The network follows when running has become another one (``Datastores.change_listeners``): by then it is durable.
    """

    def __init__(self, inventory: Inventory, numbers: AllocationStore, domain: str = DOMAIN) -> None:
        self._inventory, self._numbers, self._domain = inventory, numbers, domain
        # A commit and a pass over the devices may number at the same time, each in a thread.
        self._turn = threading.Lock()
        # What was numbered last, and of what: passes over the devices ask again and again.
        self._known: tuple[Intent, Mapping[str, DeviceFacts], Allocations, Network] | None = None
        #: For the trees of the datastore, on the loop.
        self.parse = Parser()
        #: State data by their top-level nodes: on the loop, and what reads the disk.
        self.states: dict[str, State] = {}
        #: Those of the first that can tell what is at a place alone, or None.
        self.parts: dict[str, Part] = {}
        self.stored_states: dict[str, State] = {}

    def check(self, old: Tree, new: Tree) -> None:
        """What is asked anew must be possible; ApplyError (place and remedy) refuses (``yangkit.Datastores``)."""
        before = self.parse(old)
        check_devices(before, read(new, before, self.parse), self._inventory.facts, self._domain)

    async def apply(self, old: Tree, new: Tree) -> None:
        """Give numbers; ApplyError when a pool is used up."""
        await asyncio.to_thread(self.number, self.parse(new))

    def number(self, intent: Intent) -> Network:
        """Durable numbers for an intent, and its sites joined with devices; ApplyError when a pool is used up.

        The same network as the last time unless it differs from that.
        """
        with self._turn:
            facts = self._inventory.facts
            given = self._numbers.load()
            known = self._known
            if known is not None and known[0] is intent and known[1] == facts and known[2] is given:
                return known[3]
            wanted = allocate(intent, pops(facts), given.table)
            network = join(intent, facts, wanted, self._domain)
            if wanted != given:
                self._numbers.save(wanted)
            if known is not None and known[3] == network:  # what follows from it is known, too
                network = known[3]
            self._known = intent, facts, self._numbers.load(), network
            return network

    def compiled(self, tree: Tree) -> dict[str, Tree]:
        """What devices would have if this, which may be, were running; no number is taken."""
        intent = parse(tree)
        facts = self._inventory.facts
        network = join(intent, facts, allocate(intent, pops(facts), self._numbers.load().table), self._domain)
        return compile_network(network, facts, self._domain)

    def notes(self, before: Tree, after: Tree) -> list[Note]:
        """What whoever orders this should know: which pairs of sites that it is about will have no direct path."""
        intent = parse(after)
        return list(notes(intent, self._inventory.facts, changed_sites(parse(before), intent)))

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

    async def state_at(self, path: Path) -> Tree | None:
        """Operational data at a place (``yangkit.backend.Narrow``)."""
        part = self.parts.get(path.steps[0][0].json_name)
        return part(path) if part is not None else None

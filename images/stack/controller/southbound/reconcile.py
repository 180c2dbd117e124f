"""What makes devices be as intended: when the intent changes, when a device comes, and when somebody else has changed
what we own. All devices that differ are brought forward by one network-wide commit.

A device that refuses reverts that commit everywhere; it is left out for a while (longer each time), so that the others
are served by the next pass. One that is away is compared when it comes. A new site is written to both of its devices or
to none: while one of them is away or refuses, the site is withheld from the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from ipaddress import ip_address
from math import inf
from pathlib import Path

from lxml import etree
from stackkit import logs
from yangkit import ApplyError, Schema, Tree
from yangkit.errors import RpcError

from controller import drivers
from controller.service import peerings
from controller.service.compile import Compiler, compile_network
from controller.service.entries import Wanted, changes_of
from controller.service.facts import DeviceFacts
from controller.service.intent import DOMAIN, Intent, changed_sites
from controller.service.network import Network, without
from controller.service.rereading import Rereader
from controller.southbound import patience, reading
from controller.southbound.attached import Attached, Place
from controller.southbound.blame import Blame
from controller.southbound.executor import Executor
from controller.southbound.inventory import Inventory
from controller.southbound.journal import Journal
from controller.southbound.ordered import Ordered, by_device, everything, place_of
from controller.southbound.sessions import Held, Sessions
from controller.southbound.status import Status, Sync, View
from controller.southbound.visits import Question, Visits

log = logging.getLogger(__name__)
FIRST_WAIT, LAST_WAIT = 1.0, 60.0
#: Devices that are compared in a second, at most, while nothing calls for it: more of them are compared less often.
COMPARED = 50.0
PROBE_SECONDS = 10.0
Numbered = Callable[[Intent], Network]
"""Gives numbers to an intent, durably, and joins it with the devices there are."""


@dataclass(frozen=True)
class _Intended:
    """What a device shall have, and the sites that this is for."""

    tree: Tree
    sites: Mapping[str, Ordered]


_Key = tuple[Network, frozenset[str], Mapping[str, DeviceFacts]]
"""What the trees of all devices follow from."""


@dataclass(frozen=True)
class _Change:
    """What a device needs: what it is for, its entries when that is done, and the edit (the inside of a <config>)."""

    intended: _Intended
    wanted: frozenset[str]
    config: str


class Reconciler:
    """The loop. ``follow`` tells it a new intent, ``on_change`` whom to tell that a device's state has changed."""

    def __init__(
        self,
        sessions: Sessions,
        executor: Executor,
        journal: Journal,
        inventory: Inventory,
        attached: Attached,
        number: Numbered,
        yang: tuple[Path, ...],
        *,
        domain: str = DOMAIN,
        poll: float = 5.0,
    ) -> None:
        self._sessions, self._executor, self._journal = sessions, executor, journal
        self._inventory, self._attached, self._number, self._yang = inventory, attached, number, yang
        self._domain, self._poll = domain, poll
        self._intent: Intent | None = None
        #: The orders that have changed the intent since the last pass began.
        self._orders: list[str] = []
        self._wake = asyncio.Event()
        self._status: dict[str, Status] = {name: Status() for name in inventory.facts}
        self._meetings: Visits[Held] = Visits(self._wake.set)
        self._comparisons: Visits[_Change] = Visits(self._wake.set)
        self._view = View()
        self._blame = Blame()
        self._compiler = Compiler()
        self._last: tuple[_Key, tuple[Network, dict[str, _Intended]]] | None = None
        #: Sites that the intent has changed since they were last on their devices.
        self._stale: frozenset[str] = frozenset()
        self.on_change: list[Callable[[str, Status], None]] = []
        #: Called when the view has become another one.
        self.on_view: list[Callable[[], None]] = []
        sessions.on_change.append(self._came_or_went)

    @property
    def status(self) -> Mapping[str, Status]:
        """All devices that have ever come."""
        return dict(self._status)

    @property
    def slow(self) -> frozenset[str]:
        """Devices that have not answered yet, and that nobody waits for."""
        return self._meetings.busy | self._comparisons.busy

    @property
    def intent(self) -> Intent | None:
        """What is intended."""
        return self._intent

    @property
    def view(self) -> View:
        """What the last pass left, with what the intent has made stale since."""
        return replace(self._view, stale=self._view.stale | self._stale)

    @property
    def carried(self) -> frozenset[str]:
        """Sites that devices have, or may have, wanted or not."""
        return frozenset(place.site for place in self._attached.records)

    def follow(self, intent: Intent) -> None:
        """From now on this is intended. It is durable already."""
        if self._intent is not None and intent is not self._intent:
            self._stale |= changed_sites(self._intent, intent) | peerings.changed(self._intent, intent)
        self._intent = intent
        order = logs.order.get()
        if order is not None and order not in self._orders:
            self._orders.append(order)
        self._wake.set()
        self._tell_view()

    async def forget(self, name: str) -> None:
        """A device is registered no more: it is no part of the network."""
        await asyncio.to_thread(self._journal.forget, name)
        await asyncio.to_thread(self._inventory.forget, name)
        self._status.pop(name, None)
        self._wake.set()

    async def run(self) -> None:
        """For ever. A defect of ours must not end it: what one pass leaves, the next finds."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self.once()
                except Exception:
                    log.exception("a pass over the devices failed")
                    await asyncio.sleep(FIRST_WAIT)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
        finally:
            await self._meetings.close()
            await self._comparisons.close()

    async def once(self) -> None:
        """One pass: meet who has come, compare everybody, commit where somebody differs. Nobody waits for a device that
        takes longer than the others to say how it is: it counts as one that is away until it has, and wakes us."""
        # What is logged on the way belongs to the orders that caused it.
        logs.order.set(", ".join(self._orders) or None)
        self._orders.clear()
        now = asyncio.get_running_loop().time()
        slow = self.slow
        held = {
            name: one
            for name, one in self._sessions.held().items()
            if self._of(name).not_before <= now and name not in slow
        }
        # A device that has come, and each of the others now and then, as its address may change.
        # (Half of the time between passes: or what a pass has looked at would often be too young for the next.)
        stale = now - max(self._poll / 2, len(held) / COMPARED)
        due = {name for name, one in held.items() if self._of(name).met is not one or self._of(name).compared <= stale}
        await self._meetings.answers(
            {name: Question(held[name], partial(self._meet, held[name])) for name in sorted(due)}
        )
        intent = self._intent
        if intent is None:
            return
        try:
            network = await asyncio.to_thread(self._number, intent)
        except ApplyError as error:
            log.error("no numbers can be given: %s", error.message)
            return
        ready = {name for name, one in held.items() if self._of(name).met is one} - self._meetings.busy
        self._blame.look(network)
        withheld = self._withheld(network, ready) | self._blame.held(now)
        building, intended = self._compiled(network, withheld)
        # Before anything is written: whatever happens then, we know what may be where.
        places = [place_of(one) for one in everything(building).values()]
        if not self._attached.knows(places):
            await asyncio.to_thread(self._attached.change, begun=places)
        unsettled = {name for name, one in intended.items() if name not in due and not self._is_settled(name, one)}
        questions = {
            name: Question((held[name], intended[name]), partial(self._compare, held[name], intended[name]))
            for name in sorted(ready & intended.keys() & (due | unsettled))
        }
        changes = await self._comparisons.answers(questions)
        # A new site comes to both of its devices or to none: without one that takes its time, the next pass goes on.
        for name in changes.keys() & self._partners(places, self._comparisons.busy):
            del changes[name]
            self._wake.set()
        if changes:
            # Before it is written: whatever happens then, we know what may be there and is ours.
            may = {name: self._inventory.owned(name) | change.wanted for name, change in changes.items()}
            await asyncio.to_thread(self._inventory.own, may)
            await self._commit(changes, building)
        await self._settle_sites(intent, network, withheld, building, intended)

    def _compiled(self, network: Network, withheld: Mapping[str, str]) -> tuple[Network, dict[str, _Intended]]:
        """What is built without the withheld sites, and what devices shall have; the same objects while nothing
        changes."""
        facts = self._inventory.facts
        key = network, frozenset(withheld), facts
        if self._last is None or self._last[0][0] is not network or self._last[0][1:] != key[1:]:
            building = without(network, withheld)
            sites = by_device(building)
            trees = self._compiler(building, facts, self._domain)
            self._last = key, (building, {name: _Intended(tree, sites.get(name, {})) for name, tree in trees.items()})
        return self._last[1]

    def _is_settled(self, name: str, intended: _Intended) -> bool:
        """Is a device as intended, as far as is known?"""
        status = self._status.get(name)
        if status is None or status.problem is not None or status.sync not in ("in-sync", "unmanaged"):
            return False
        return status.has is intended.tree or status.has == intended.tree

    def _withheld(self, network: Network, ready: set[str]) -> dict[str, str]:
        """Sites that have never been on both of their devices, and one of these cannot have it now."""
        found: dict[str, str] = {}
        for site, one in everything(network).items():
            place = place_of(one)
            missing = [name for name in place.devices if name not in ready]
            if missing and not self._attached.built(place):
                found[site] = missing[0]
        return found

    def _partners(self, places: Iterable[Place], late: frozenset[str]) -> set[str]:
        """Devices that share a site with one of these that was never on both."""
        shared = (one.devices for one in places if not late.isdisjoint(one.devices) and not self._attached.built(one))
        return {name for devices in shared for name in devices}

    async def _settle_sites(
        self,
        intent: Intent,
        network: Network,
        withheld: Mapping[str, str],
        building: Network,
        intended: Mapping[str, _Intended],
    ) -> None:
        """Which sites are now on their devices as they are wanted, and which are gone from them."""

        @cache
        def settled(name: str) -> bool:
            # Also of one that is away now: it keeps what it has.
            status = self._status.get(name)
            wanted = intended[name].tree if name in intended else None
            return status is not None and status.problem is None and status.has == wanted

        def right(name: str, id_: str, one: Ordered) -> bool:
            # A device that refuses another site still has this one.
            carried = self._of(name).carries
            return settled(name) or (carried is not None and carried.get(id_) == one)

        def rid(name: str, site: str) -> bool:
            carried = self._of(name).carries
            return name not in intended or settled(name) or (carried is not None and site not in carried)

        ordered = everything(building)
        places = {id_: place_of(one) for id_, one in ordered.items()}
        built = {
            id_: place for id_, place in places.items() if all(right(name, id_, ordered[id_]) for name in place.devices)
        }
        gone: list[Place] = []
        leaving: dict[str, str] = {}
        wanted = {place_of(one) for one in everything(network).values()}
        for place in self._attached.records.keys() - wanted:
            having = [name for name in place.devices if not rid(name, place.site)]
            if having:
                leaving[place.site] = having[0]
            else:
                gone.append(place)
        if gone or not all(self._attached.built(place) for place in built.values()):
            await asyncio.to_thread(self._attached.change, built=built.values(), gone=gone)
        if intent is self._intent:
            self._stale = frozenset()
        stale = frozenset(places.keys() - built.keys())
        self._view = View(network, withheld, stale, self._blame.look(network), leaving)
        self._tell_view()

    def _tell_view(self) -> None:
        for listener in self.on_view:
            listener()

    def _pause(self) -> float:
        now = asyncio.get_running_loop().time()
        times = [*(status.not_before for status in self._status.values()), *self._blame.times]
        waits = [time - now for time in times if time > now]
        return max(0.05, min([self._poll, *waits]))

    # -- one device --------------------------------------------------------------------------------------------------

    async def _meet(self, held: Held) -> Held | None:
        """A device that has come: first the last words that it has missed, then who it is. None when it does not say
        (noted)."""
        name, status = held.identity.name, self._of(held.identity.name)
        try:
            if status.met is not held:
                problem = await self._executor.settle(name)
                if problem is not None:
                    self._failed(name, problem)
                    return None
            # Asked again each time: an address may change, by DHCP for example.
            facts = replace(await reading.facts(held.client, held.identity), called_from=_plain(held.address))
            if facts != self._inventory.of(name):
                await asyncio.to_thread(self._inventory.learn, facts)
            status.met = held
        except (RpcError, OSError, TimeoutError, reading.NotUsable) as error:
            self._failed(name, str(error) or type(error).__name__, carries=False)
            return None
        return held

    async def _compare(self, held: Held, intended: _Intended) -> _Change | None:
        """What a device lacks; None when it is as intended (noted), or cannot be asked (noted, too)."""
        name, tree = held.identity.name, intended.tree
        if not tree and self._is_anothers(name):
            self._well(name, intended, "unmanaged")
            return None
        try:
            schema = self._schema(name)
            data = await reading.running(held.client)
            status = self._of(name)
            owned, fenced = self._inventory.owned(name), self._journal.is_fenced(name)
            seen = reading.digest(data), tree, owned, status.written
            if seen == status.seen and not fenced:
                self._well(name, intended)
                return None
            reader = status.reader
            if reader is None or reader.schema is not schema:
                reader = status.reader = Rereader(schema)
            wanted = Wanted(tree, schema, reader.json(tree))
            actual = reading.configuration(data, name, reader, wanted, status.written)
            config = changes_of(owned, wanted, actual)
        except (RpcError, OSError, TimeoutError, reading.NotUsable) as error:
            self._failed(name, str(error) or type(error).__name__, carries=False)
            return None
        if not len(config):
            if owned != wanted.keys or fenced:
                await asyncio.to_thread(self._are_right, {name: wanted.keys})
            else:
                status.seen = seen
            self._well(name, intended)
            return None
        drifted = status.sync == "in-sync" and status.has == tree
        if drifted:
            log.warning("%s: somebody else has changed what the controller owns", name)
            status.carries = None
        self._set(name, "drifted" if drifted else "pending", None)
        return _Change(intended, wanted.keys, "".join(etree.tostring(child, encoding="unicode") for child in config))

    def _is_anothers(self, name: str) -> bool:
        """A box without a driver, such as a gateway of the cloud platform's: taken in, and left alone."""
        facts = self._facts(name)
        return drivers.find(facts.model, facts.personality) is None and not self._inventory.owned(name)

    def _facts(self, name: str) -> DeviceFacts:
        facts = self._inventory.of(name)
        assert facts is not None  # it has been met
        return facts

    def _are_right(self, wanted: Mapping[str, frozenset[str]]) -> None:
        self._inventory.own(wanted)
        self._journal.unfence(*wanted)

    def _schema(self, name: str) -> Schema:
        facts = self._facts(name)
        driver = drivers.find(facts.model, facts.personality)
        if driver is None:
            text = f"there is no driver for model {facts.model!r}: add one to controller/drivers, or change the box"
            raise reading.NotUsable(text)
        return driver.schema(*self._yang)

    # -- all that differ ---------------------------------------------------------------------------------------------

    async def _commit(self, changes: Mapping[str, _Change], building: Network) -> None:
        edits = {name: change.config for name, change in changes.items()}
        for name in changes:
            self._of(name).written = None
        outcome = await self._executor.run(edits, partial(self._lost, frozenset(changes)))
        log.info("committed on %s", ", ".join(sorted(outcome.committed)) or "no device")
        await asyncio.to_thread(self._are_right, {name: changes[name].wanted for name in outcome.committed})
        for name in outcome.committed:
            self._well(name, changes[name].intended)
        self._blame.forgive(outcome.committed, building)
        for name, reason in {**outcome.fenced, **outcome.refused}.items():
            if name in outcome.paths and self._blames(name, (reason, outcome.paths[name]), building):
                self._set(name, "pending", None)
            elif name in changes:
                self._failed(name, reason)
        if outcome.refused or outcome.fenced:
            self._wake.set()

    def _blames(self, name: str, said: tuple[str, str], building: Network) -> bool:
        """A device has refused: is there a site that has never been built, and that is the reason, at its POP?"""

        def interfaces(network: Network) -> frozenset[str]:
            tree = compile_network(network, {name: self._facts(name)}, self._domain)[name]
            return frozenset(one["name"] for one in tree.get("ietf-interfaces:interfaces", {}).get("interface", ()))

        here = [one for one in building.of_device(name) if one.pop.name == name]
        new = [one.site.id for one in here if not self._attached.built(place_of(one))]
        return self._blame.take(name, said, building, new, interfaces, asyncio.get_running_loop().time())

    async def _lost(self, names: frozenset[str]) -> str | None:
        """The probe of a commit: who cannot be spoken to any more has been cut off by it, and it must not stay."""

        async def one(name: str) -> str | None:
            client = self._sessions.session(name)
            if client is None:
                return f"{name} has lost its session"
            try:
                await patience.answer(client, client.get_config(filter="", deadline=inf), PROBE_SECONDS)
            except (RpcError, OSError, TimeoutError) as error:
                return f"{name} does not answer any more: {error or type(error).__name__}"
            return None

        lost = [text for text in await asyncio.gather(*(one(name) for name in sorted(names))) if text is not None]
        return "; ".join(lost) or None

    # -- states ------------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> Status:
        status = self._status.get(name)
        if status is None:
            status = self._status[name] = Status()
        return status

    def _came_or_went(self, name: str, connected: bool) -> None:
        status = self._of(name)
        status.connected, status.since = connected, datetime.now(UTC)
        status.failures, status.not_before = 0, 0.0
        if not connected:
            status.met = None
        self._set(name, "pending" if connected else "unreachable", None, always=True)
        self._wake.set()

    def _well(self, name: str, intended: _Intended, sync: Sync = "in-sync") -> None:
        status = self._of(name)
        status.has = status.written = intended.tree
        status.carries = intended.sites
        status.compared = asyncio.get_running_loop().time()
        status.failures, status.not_before = 0, 0.0
        self._set(name, sync, None)

    def _failed(self, name: str, problem: str, *, carries: bool = True) -> None:
        """Leave a device alone for a while; twice as long each time. Does it carry what it did, as far as we know?"""
        status = self._of(name)
        if not carries:
            status.carries = None
        status.failures += 1
        wait = min(LAST_WAIT, FIRST_WAIT * 2 ** min(status.failures - 1, 10))
        status.not_before = asyncio.get_running_loop().time() + wait
        log.warning("%s: %s; again in %g s", name, problem, wait)
        self._set(name, "failed" if status.connected else "unreachable", problem)

    def _set(self, name: str, sync: Sync, problem: str | None, *, always: bool = False) -> None:
        status = self._of(name)
        changed = status.sync != sync or always
        status.sync, status.problem = sync, problem
        if changed:
            for listener in self.on_change:
                listener(name, status)


def _plain(address: str) -> str:
    """An IPv4 address as such, though a socket for both families gave it (RFC 4291, section 2.5.5.2)."""
    try:
        mapped = getattr(ip_address(address), "ipv4_mapped", None)
    except ValueError:
        return address
    return address if mapped is None else str(mapped)

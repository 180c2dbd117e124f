"""How an order is carried out: a saga over its items, all or none.

reserve → devices (held until each is managed) → network (one YANG Patch for all items) → verify (sites up) → finish.
Undone: network (the patch taken back) → devices (held until each has it as it was) → reserve (names are free again).
A step is done again after a crash: each computes from the inventory what is to be, not what it did last.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from stackkit import durable
from stackkit.database import Database
from stackkit.durable import Context, Held, Later, Step

from gro import changes, documents, sdno, secrecy, settling, store
from gro.notices import OUTBOX, SITES, Notices
from gro.ordered import Service, Site
from gro.ordered import change as change_of
from gro.restconf import Controller, Manager, RefusedError
from gro.settling import Sites
from gro.watch import REGISTRY, Waiting, of_cloud, of_device

Json = Any

KIND = "order"
# Events wake an order that waits (watch.py); these are for the event that never came.
VERIFY_RECHECK = 5.0
DEVICES_RECHECK = 15.0
BARRED = {"quarantined": "have it released", "revoked": "replace it"}

STATES = {
    durable.State.RUNNING: "inProgress",
    durable.State.HELD: "held",
    durable.State.UNDOING: "inProgress",
    durable.State.DONE: "completed",
    durable.State.FAILED: "failed",
    durable.State.CANCELLED: "cancelled",
}


@dataclass
class Fulfilment:
    database: Database
    controller: Controller
    manager: Manager
    waiting: Waiting = field(default_factory=Waiting)
    told: Callable[[], Mapping[str, Json] | None] = lambda: None
    """Sites as the controller's events have told; None while nobody tells."""

    def __post_init__(self) -> None:
        # Two orders of one tenant may share a site: what one computes must be in the network before the other computes.
        self._network = asyncio.Lock()

    def steps(self, order: str, _: Json) -> list[Step]:
        return [
            Step("reserve", self._reserve, self._release),
            Step("devices", self._devices, self._let_go, recheck=DEVICES_RECHECK),
            Step("network", self._build, self._restore),
            Step("verify", self._verify, recheck=VERIFY_RECHECK),
            Step("finish", self._finish),
        ]

    async def _reserve(self, context: Context) -> Json:
        """The rows were written with the order itself; here they are only evidence."""
        with self.database.read() as connection:
            added, removed = _rows(connection, context.saga)
            changed = [row["service"] for row in changes.of_order(connection, context.saga)]
        evidence = {"add": [row["id"] for row in added], "remove": [row["id"] for row in removed]}
        return {**evidence, "modify": changed} if changed else evidence

    async def _release(self, context: Context, _: Json) -> Json:
        with self.database.begin() as connection:
            added = store.services_by(connection, store.services.c.added_by, context.saga)
            ids = [row["id"] for row in added]
            store.set_services(connection, ids, in_network=False, **_ended())
            kept = store.services_by(connection, store.services.c.removed_by, context.saga)
            store.set_services(connection, [row["id"] for row in kept], removed_by=None)
            changes.end(connection, context.saga, done=False)
            gone = store.drop_unused_sites(connection, context.input["tenant"])
            for row in added:
                documents.tell_service(connection, row["id"])
        return {"services": ids, "sites": gone}

    async def _devices(self, context: Context) -> Json:
        """Every device of an added service is the tenant's to use and is there. Reasons tell nothing of others."""
        found: dict[str, Json] = {}
        tenant = context.input["tenant"]
        with self.database.read() as connection:
            new = _new_sites(connection, context)
        for site in new:
            self.waiting.expect(context.saga, {REGISTRY})  # its name is not known yet
            device = await self.manager.device_of(tenant, site.device)
            here = f"device {site.device} of site {site.name} is"
            if device is None:
                raise Held(f"{here} not registered for {tenant}")
            name, status = device["name"], device.get("status", "expected")
            self.waiting.expect(context.saga, {REGISTRY, of_device(name)})
            if status in BARRED:
                raise Held(f"{here} {status}: {BARRED[status]}")
            if not await self.controller.connected(name):
                raise Held(f"{here} {'not connected' if status == 'managed' else status}: plug it in")
            with self.database.begin() as connection:
                if not store.name_device(connection, tenant, site.name, name):
                    raise Held(f"{here} not registered for {tenant}")
            found[site.name] = {"device": site.device, "name": name}
        return found

    async def _build(self, context: Context) -> Json:
        return await self._apply(context, undo=False)

    async def _restore(self, context: Context, _: Json) -> Json:
        return await self._apply(context, undo=True)

    async def _apply(self, context: Context, *, undo: bool) -> Json:
        wanted, other = (changes.BEFORE, changes.AFTER) if undo else (changes.AFTER, changes.BEFORE)
        async with self._network:
            with self.database.begin() as connection:
                added, removed = _rows(connection, context.saga)
                if undo:
                    added, removed = removed, added
                going, coming = [row["id"] for row in removed], [row["id"] for row in added]
                # Before the patch: nobody may build upon what is about to go. (After it, for what comes.)
                store.set_services(connection, going, in_network=False)
                changes.put(connection, context.saga, wanted)
                rows = changes.of_order(connection, context.saga)
                changed = [changes.service_of(connection, row, wanted) for row in rows]
                former = [changes.service_of(connection, row, other) for row in rows]
                new = [*(store.service_of(row) for row in added), *changed]
                ending = [store.service_of(row) for row in removed]
                # A tenant may have very many: of interest are those that share a site with what is changed.
                names = {name for one in (*new, *ending, *former) for name in one.sites}
                tenant = context.input["tenant"]
                present = store.in_network(connection, tenant, using=names)
                sites = store.tenant_sites(connection, tenant, names)
            known = {one.id: one for one in (*present, *ending)}
            change = change_of(known.values(), sites, new, going, former)
            patch = sdno.patch(change, f"{context.saga}{'-undo' if undo else ''}")
            try:
                await self._send(patch, change.secrets)
            except RefusedError:
                if not undo:  # at once: other orders shall not send again what was refused
                    with self.database.begin() as connection:
                        changes.put(connection, context.saga, changes.BEFORE)
                raise
            with self.database.begin() as connection:
                store.set_services(connection, coming, in_network=True)
        edits = patch["ietf-yang-patch:yang-patch"]["edit"]
        return {"edits": [f"{edit['operation']} {edit['target']}" for edit in edits]}

    async def _send(self, patch: Json, secrets: tuple[str, ...]) -> None:
        """What the controller says of a patch is told to people: without what they may not see."""
        try:
            await self.controller.apply(patch)
        except (RefusedError, Later) as error:
            raise type(error)(secrecy.redacted(str(error), secrets)) from None

    async def _verify(self, context: Context) -> Json:
        with self.database.read() as connection:
            new, old, added = _services(connection, context.saga)
            wanted = changes.sites_of(connection, context.saga).union(*(one.sites for one in added))
            sites = _sites(connection, context.input["tenant"], wanted, new, old)
        return await self._is_so(context.saga, sites, new, old, settling.brought(new, old))

    async def _let_go(self, context: Context, _: Json) -> Json:
        """What was taken back from the network, the devices have no more: until then packets may pass."""
        if "network" not in context.evidence:
            return None  # no device was told anything
        with self.database.read() as connection:
            old, new, _ = _services(connection, context.saga)
            sites = _sites(connection, context.input["tenant"], set(), new, old)
        return await self._is_so(context.saga, sites, new, old, ())

    async def _is_so(
        self, order: str, sites: Sites, new: list[Service], old: list[Service], wanted: Collection[Service]
    ) -> Json:
        """The network has sites and clouds as they are to be. Evidence of each."""
        clouds = {one.id for one in (*new, *old) if one.cloud is not None}
        self.waiting.expect(order, {*sites.subjects, *map(of_cloud, clouds)})
        live = await self.controller.clouds(clouds)
        # Before the sites: a cloud that a POP does not take may be what keeps the sites there from coming up.
        settling.refused(wanted, live)
        return {**await self._settled(order, sites), **settling.clouds(new, old, wanted, live)}

    async def _settled(self, order: str, sites: Sites) -> dict[str, Json]:
        self._not_yet(order, sites.evidence)
        live = await self.controller.sites(sites.ids)
        # Who refuses may be the POP, because of what somebody else has ordered: that passes.
        unknown = [one for one in sites.failed(live) if "refused-by" not in live[one.id]]
        blameless = [one for one in unknown if not await self.controller.refuses(str(one.device_name))]
        return sites.evidence(live, blameless)

    def _not_yet(self, order: str, looked: Callable[[Mapping[str, Json]], Json]) -> None:
        """Raises Held while the events say that there is something to wait for: of many that wait, each event wakes
        some, and they need not all ask the controller. That all is well it says itself: events may be behind."""
        now = asyncio.get_running_loop().time()
        told = self.told()
        if told is not None and now - self.waiting.asked.get(order, -VERIFY_RECHECK) < VERIFY_RECHECK:
            with contextlib.suppress(RefusedError):
                looked(told)
        self.waiting.asked[order] = now

    async def _finish(self, context: Context) -> Json:
        with self.database.begin() as connection:
            added, removed = _rows(connection, context.saga)
            store.set_services(connection, [row["id"] for row in added], state="active")
            store.set_services(connection, [row["id"] for row in removed], **_ended())
            changed = changes.end(connection, context.saga, done=True)
            gone = store.drop_unused_sites(connection, context.input["tenant"])
            for row in (*added, *removed):
                documents.tell_service(connection, row["id"])
            for id_ in changed:
                documents.tell_service(connection, id_, "ServiceAttributeValueChangeEvent")
        return {"sites-dropped": gone}


def _rows(connection: sa.Connection, order: str) -> tuple[list[store.Row], list[store.Row]]:
    """Services that the order adds, and those that it ends."""
    return (
        store.services_by(connection, store.services.c.added_by, order),
        store.services_by(connection, store.services.c.removed_by, order),
    )


def _new_sites(connection: sa.Connection, context: Context) -> list[Site]:
    """Those that the order brings or changes."""
    added = store.services_by(connection, store.services.c.added_by, context.saga)
    names = changes.sites_of(connection, context.saga).union(*(row["sites"] for row in added))
    sites = store.tenant_sites(connection, context.input["tenant"], names)
    return [sites[name] for name in sorted(names)]


def _services(connection: sa.Connection, order: str) -> tuple[list[Service], list[Service], list[Service]]:
    """Of an order: services as it adds and changes them; as they were that it ends and changes; those it adds."""
    added, removed = ([store.service_of(row) for row in rows] for rows in _rows(connection, order))
    changed = changes.of_order(connection, order)
    after = [changes.service_of(connection, row, changes.AFTER) for row in changed]
    before = [changes.service_of(connection, row, changes.BEFORE) for row in changed]
    return [*added, *after], [*removed, *before], added


def _sites(
    connection: sa.Connection, tenant: str, wanted: Collection[str], new: list[Service], old: list[Service]
) -> Sites:
    """Of new, changed and former services: what is to become of each of their sites, of which `wanted` shall be up."""
    named = {name for one in (*new, *old) for name in one.sites}
    known = store.tenant_sites(connection, tenant, named.union(wanted))
    others = (named & known.keys()).difference(wanted)
    used = (
        {name for one in store.in_network(connection, tenant, using=others) for name in one.sites} if others else set()
    )
    before = {name for one in old for name in one.sites}
    return Sites(known, sorted(wanted), sorted(others - used), sorted(others & used), before)


def observer(notices: Notices, waiting: Waiting) -> durable.Observer:
    """The order's state follows its saga within the journal's own transaction; listeners are told in it, too."""

    def observe(connection: sa.Connection, event: durable.Event) -> None:
        saga = event.saga
        row = store.one(connection, store.orders, saga.id)
        if row is None:
            return
        state = _state(event)
        moved = state != row["state"]
        values: dict[str, Any] = {"state": state} if moved else {}
        if row["started"] is None:
            values["started"] = documents.now()
        if saga.state.terminal:
            values["completed"] = documents.now()
            waiting.over(saga.id)
        if saga.problem != row["problem"]:
            values["problem"] = saga.problem
        if values:
            connection.execute(sa.update(store.orders).where(store.orders.c.id == saga.id).values(**values))
        if moved:
            documents.tell_order(connection, saga.id)
        # What steps have put into the outbox goes out with the order's next state, which is a moment later.
        notices.tell_soon(saga.id, SITES, *([OUTBOX] if moved else []))

    return observe


def _ended() -> dict[str, Any]:
    """The columns of a service that has ended: of no use to anybody is its secret."""
    return {"state": "terminated", "ended": documents.now(), "secret": sa.null()}


def _state(event: durable.Event) -> str:
    saga, step = event.saga, event.step
    if saga.cancel and not saga.state.terminal:
        return "pendingCancellation"
    if saga.state is durable.State.HELD and step is not None and step.name == "verify":
        return "inProgress"  # the network is at work; held is for what somebody must do
    return STATES[saga.state]

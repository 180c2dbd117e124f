"""GRO's HTTP interface: TMF641 ordering, TMF638 inventory, TMF633 catalogue; and ours: plan, steps, sites, health."""

import asyncio
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from stackkit import durable, problems
from stackkit.database import Database
from stackkit.problems import Problem
from stackkit.tokens import Caller

from gro import documents, hub, sdno, store, tmf
from gro.catalogue import Catalogue
from gro.documents import CATALOGUE, INVENTORY, ORDERING
from gro.fulfilment import KIND
from gro.order_request import Checked, Checker, members
from gro.restconf import Controller, Manager, RefusedError

Json = Any
Authenticate = Callable[[Request], Awaitable[Caller]]

PATCHABLE: Mapping[str, type] = {
    "description": str, "category": str, "externalId": str, "priority": str, "note": list,
    "notificationContact": str, "requestedCompletionDate": str, "requestedStartDate": str,
}  # fmt: skip


@dataclass
class Desk:
    """What the routes share."""

    database: Database
    catalogue: Catalogue
    engine: durable.Engine
    controller: Controller
    manager: Manager
    courier: hub.Courier
    allow_internal: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def order(self, id_: str, who: Caller) -> store.Row:
        """The order, if it is there *for this caller*: another tenant's is as absent as one that never was."""
        with self.database.read() as connection:
            return visible(store.one(connection, store.orders, id_), who, f"service order {id_}")

    def document(self, row: store.Row) -> dict[str, Json]:
        with self.database.read() as connection:
            services = store.services_by(connection, store.services.c.added_by, row["id"])
        return documents.order(row, services, self.engine.journal.records(row["id"]))


def scope_of(who: Caller) -> str | None:
    """The tenant whose rows a caller sees; None: all."""
    if "admin" in who.roles:
        return None
    if who.tenant is None:
        raise Problem(403, "Forbidden", "the token names no tenant")
    return who.tenant


def visible(row: store.Row | None, who: Caller, what: str) -> store.Row:
    tenant = scope_of(who)
    if row is None or tenant not in (None, row["tenant"]):
        raise Problem(404, "Not Found", f"there is no {what}")
    return row


def create_app(desk: Desk, authenticate: Authenticate) -> FastAPI:
    app = FastAPI(title="elasticlab GRO", version="4.1", docs_url=None, redoc_url=None)
    problems.install(app)
    who = Annotated[Caller, Depends(authenticate)]
    for build in (_ordering, _cancelling, _planning, _collections, _subscribing):
        app.include_router(build(desk, who))

    @app.get("/health")
    async def health() -> Response:
        with desk.database.read() as connection:
            connection.execute(sa.select(sa.literal(1)))
        return tmf.json_response({"status": "ok"})

    return app


def write_order(connection: sa.Connection, checked: Checked, engine: durable.Engine) -> str:
    """Order, services, sites and saga in one transaction: acknowledged means that all of it is on disk."""
    id_, at = str(uuid.uuid4()), documents.now()
    row = {"id": id_, "tenant": checked.tenant, "state": "acknowledged", "document": checked.document, "created": at}
    connection.execute(sa.insert(store.orders).values(**row))
    for site in checked.sites.values():
        values = {"tenant": site.tenant, "name": site.name, "device": site.device, "document": site.document()}
        connection.execute(sa.insert(store.sites).values(**values))
    for added in checked.add:
        one, specification = added.service, added.specification
        document = {"item": added.item, "service": added.document, "specification": specification.name}
        connection.execute(
            sa.insert(store.services).values(
                id=one.id, tenant=one.tenant, specification=specification.id, internet=one.internet, state="reserved",
                in_network=False, sites=list(one.sites), document=document, added_by=id_, created=at,
            )
        )  # fmt: skip
        documents.tell_service(connection, one.id, "ServiceCreateEvent")
    store.set_services(connection, checked.remove, removed_by=id_)
    engine.submit(connection, id_, KIND, {"tenant": checked.tenant})
    documents.tell_order(connection, id_, "ServiceOrderCreateEvent")
    return id_


def _ordering(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=ORDERING)

    @router.post("/serviceOrder")
    async def create(request: Request, caller: who) -> Response:
        content = await tmf.body(request)
        with desk.database.begin() as connection:
            checked = Checker(desk.catalogue, connection, scope_of(caller)).check(content)
            id_ = write_order(connection, checked, desk.engine)
        document = desk.document(desk.order(id_, caller))
        desk.engine.launch(id_)
        desk.courier.wake()
        return tmf.json_response(document, 201, {"Location": document["href"]})

    @router.get("/serviceOrder")
    async def listed(request: Request, caller: who) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.orders, scope_of(caller))
        return tmf.page(request, [desk.document(row) for row in rows])

    @router.get("/serviceOrder/{id_}")
    async def retrieve(id_: str, request: Request, caller: who) -> Response:
        document = desk.document(desk.order(id_, caller))
        return tmf.json_response(tmf.select(document, request.query_params.get("fields")))

    @router.patch("/serviceOrder/{id_}")
    async def patch(id_: str, request: Request, caller: who) -> Response:
        """TMF641 4.1: what describes an order may change while it is open; its items never (cancel it, order anew)."""
        row = desk.order(id_, caller)
        content = await tmf.body(request)
        members(content, PATCHABLE, "")
        if row["state"] in ("completed", "failed", "cancelled"):
            raise Problem(409, "Order has ended", f"the order is {row['state']}: nothing of it changes any more")
        with desk.database.begin() as connection:
            change = sa.update(store.orders).where(store.orders.c.id == id_)
            connection.execute(change.values(document={**row["document"], **content}))
            documents.tell_order(connection, id_, "ServiceOrderAttributeValueChangeEvent")
        desk.courier.wake()
        return tmf.json_response(desk.document(desk.order(id_, caller)))

    @router.delete("/serviceOrder/{id_}")
    async def delete(id_: str, caller: who) -> Response:
        """An order is a record of what was done: it is cancelled, or its services are, but it does not vanish."""
        row = desk.order(id_, caller)
        raise Problem(409, "Order is kept", f"the order is {row['state']}; use cancelServiceOrder, or order the delete")

    @router.get("/serviceOrder/{id_}/events")
    async def events(id_: str, caller: who) -> Response:
        desk.order(id_, caller)
        return StreamingResponse(
            _steps(desk, id_), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    return router


async def _steps(desk: Desk, id_: str) -> AsyncIterator[str]:
    """The order's steps as server-sent events, those of the past first; ends with the order."""
    told: dict[str, Json] = {}
    state = None
    while True:
        with desk.database.read() as connection:
            row = store.one(connection, store.orders, id_)
        assert row is not None
        for step in map(documents.milestone, desk.engine.journal.records(id_)):
            if told.get(step["id"]) != step:
                told[step["id"]] = step
                yield f"event: step\ndata: {json.dumps(step)}\n\n"
        if row["state"] != state:
            state = row["state"]
            yield f"event: state\ndata: {json.dumps({'state': state, 'problem': row['problem']})}\n\n"
        if state in ("completed", "failed", "cancelled"):
            return
        async with desk.changed:
            try:
                # Looked at again after a while: a notice between the look and the wait must not be lost.
                await asyncio.wait_for(desk.changed.wait(), 0.25)
            except TimeoutError:
                continue


def _cancelling(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=ORDERING)
    known: Mapping[str, type] = {
        "cancellationReason": str,
        "requestedCancellationDate": str,
        "serviceOrder": dict,
        "@type": str,
    }

    def document(row: store.Row) -> dict[str, Json]:
        with desk.database.read() as connection:
            found = store.one(connection, store.orders, row["service_order"])
        assert found is not None
        return documents.cancellation(row, found["state"])

    @router.post("/cancelServiceOrder")
    async def create(request: Request, caller: who) -> Response:
        content = members(await tmf.body(request), known, "")
        reference = content.get("serviceOrder", {}).get("id")
        if not isinstance(reference, str):
            raise Problem(400, "Invalid cancellation", "the id of the order is missing", "/serviceOrder/id")
        with desk.database.read() as connection:
            found = store.one(connection, store.orders, reference)
        tenant = scope_of(caller)
        if found is None or tenant not in (None, found["tenant"]):
            raise Problem(400, "Invalid cancellation", f"there is no service order {reference:.80}", "/serviceOrder/id")
        row = {
            "id": str(uuid.uuid4()), "tenant": found["tenant"], "service_order": reference,
            "document": {key: value for key, value in content.items() if key != "serviceOrder"},
            "created": documents.now(),
        }  # fmt: skip
        with desk.database.begin() as connection:
            if not desk.engine.journal.mark_cancelled(connection, reference):
                text = f"the order is {found['state']}: only an order in flight is cancelled; order a delete instead"
                raise Problem(409, "Order is not in flight", text, "/serviceOrder/id")
            connection.execute(sa.insert(store.cancellations).values(**row))
            change = sa.update(store.orders).where(store.orders.c.id == reference)
            connection.execute(change.values(state="pendingCancellation"))
            documents.tell_order(connection, reference)
        desk.engine.wake(reference)
        desk.courier.wake()
        answer = document(row)
        return tmf.json_response(answer, 201, {"Location": answer["href"]})

    @router.get("/cancelServiceOrder")
    async def listed(request: Request, caller: who) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.cancellations, scope_of(caller))
        return tmf.page(request, [document(row) for row in rows])

    @router.get("/cancelServiceOrder/{id_}")
    async def retrieve(id_: str, request: Request, caller: who) -> Response:
        with desk.database.read() as connection:
            row = visible(store.one(connection, store.cancellations, id_), caller, f"cancellation {id_}")
        return tmf.json_response(tmf.select(document(row), request.query_params.get("fields")))

    return router


def _planning(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter()

    @router.post(f"{ORDERING}/orderPlan")
    async def plan(request: Request, caller: who) -> Response:
        """Every edit of every device that this order would make (ours; serviceOrder's body). Nothing is written."""
        content = await tmf.body(request)
        with desk.database.begin() as connection:
            checked = Checker(desk.catalogue, connection, scope_of(caller)).check(content)
            sites = {**store.tenant_sites(connection, checked.tenant), **checked.sites}
            rows = [store.one(connection, store.services, id_) for id_ in checked.remove]
            leaving = [store.service_of(row) for row in rows if row is not None]
            present = {one.id: one for one in (*store.in_network(connection, checked.tenant), *leaving)}
        edits: list[Json] = []
        try:
            sites |= {one.name: await _named(desk, one) for one in sites.values() if one.device_name is None}
            change = sdno.change(present.values(), sites, [added.service for added in checked.add], checked.remove)
            if change.vpns or change.sites:
                edits += await desk.controller.plan(sdno.tree(change), "merge")
            if change.gone_sites or change.gone_vpns:
                gone = {"vpn-services": {"vpn-service": [{"vpn-id": one} for one in change.gone_vpns]}}
                gone |= {"sites": {"site": [{"site-id": one} for one in change.gone_sites]}}
                edits += await desk.controller.plan({"ietf-l3vpn-svc:l3vpn-svc": gone}, "remove")
        except RefusedError as error:
            raise Problem(422, "Order cannot be built", str(error)) from None
        except durable.Later as error:
            raise Problem(503, "Service Unavailable", str(error), headers={"retry-after": "1"}) from None
        intent = sdno.patch(change, "plan")["ietf-yang-patch:yang-patch"]["edit"]
        return tmf.json_response({"intent": intent, "edit": edits, "@type": "OrderPlan"})

    @router.get("/sites")
    async def sites(caller: who) -> Response:
        """The caller's sites with live state (ours)."""
        tenant = scope_of(caller)
        with desk.database.read() as connection:
            query = sa.select(store.sites).order_by(store.sites.c.tenant, store.sites.c.name)
            rows = [dict(row._mapping) for row in connection.execute(query) if tenant in (None, row.tenant)]
        try:
            live = await desk.controller.sites()
        except (durable.Later, RefusedError):
            live = {}  # what was ordered is known without the controller; how it is, is not
        found = [(store.site_of(row), live.get(store.site_of(row).id, {})) for row in rows]
        keys = ("state", "reason", "since", "round-trip-time")
        return tmf.json_response([
            {"id": one.id, "tenant": one.tenant, **one.document(), "state": "unknown",
             **{key: state[key] for key in keys if key in state}}
            for one, state in found
        ])  # fmt: skip

    return router


async def _named(desk: Desk, site: sdno.Site) -> sdno.Site:
    """A site with its device's name; what is planned may be plugged in later, but must be registered."""
    device = await desk.manager.device_of(site.tenant, site.device)
    if device is None:
        raise RefusedError(f"device {site.device} of site {site.name} is not registered for {site.tenant}")
    return dataclasses.replace(site, device_name=device["name"])


def _collections(desk: Desk, who: Any) -> APIRouter:
    """What is only read: the inventory (TMF638) and the catalogue (TMF633)."""
    router = APIRouter()

    @router.get(f"{INVENTORY}/service")
    async def services(request: Request, caller: who) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.services, scope_of(caller))
        return tmf.page(request, [documents.service(row) for row in rows])

    @router.get(f"{INVENTORY}/service/{{id_}}")
    async def service(id_: str, request: Request, caller: who) -> Response:
        with desk.database.read() as connection:
            row = visible(store.one(connection, store.services, id_), caller, f"service {id_}")
        return tmf.json_response(tmf.select(documents.service(row), request.query_params.get("fields")))

    def catalogue() -> dict[str, list[dict[str, Json]]]:
        specifications = [documents.specification(one) for one in desk.catalogue]
        candidates: list[dict[str, Json]] = []
        categories: dict[str, dict[str, Json]] = {}
        for one in specifications:
            reference = {key: one[key] for key in ("id", "href", "name", "version")}
            candidates.append({**reference, "href": f"{CATALOGUE}/serviceCandidate/{one['id']}",
                               "lifecycleStatus": "active", "serviceSpecification": reference,
                               "@type": "ServiceCandidate"})  # fmt: skip
            name = one["category"]
            category = {"id": name.lower(), "href": f"{CATALOGUE}/serviceCategory/{name.lower()}", "name": name,
                        "lifecycleStatus": "active", "serviceCandidate": [], "@type": "ServiceCategory"}  # fmt: skip
            categories.setdefault(name, category)["serviceCandidate"].append(reference)
        whole = {"id": "elasticlab", "href": f"{CATALOGUE}/serviceCatalog/elasticlab",
                 "name": "elasticlab", "lifecycleStatus": "active",
                 "category": list(categories.values()), "@type": "ServiceCatalog"}  # fmt: skip
        return {"serviceSpecification": specifications, "serviceCandidate": candidates,
                "serviceCategory": list(categories.values()), "serviceCatalog": [whole]}  # fmt: skip

    @router.get(f"{CATALOGUE}/{{kind}}")
    async def listed(kind: str, request: Request, caller: who) -> Response:
        scope_of(caller)
        if kind not in catalogue():
            raise Problem(404, "Not Found", f"the catalogue has no {kind}")
        return tmf.page(request, catalogue()[kind])

    @router.get(f"{CATALOGUE}/{{kind}}/{{id_}}")
    async def retrieve(kind: str, id_: str, request: Request, caller: who) -> Response:
        scope_of(caller)
        for one in catalogue().get(kind, []):
            if one["id"] == id_:
                return tmf.json_response(tmf.select(one, request.query_params.get("fields")))
        raise Problem(404, "Not Found", f"the catalogue has no {kind} {id_:.80}")

    return router


def _subscribing(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter()
    known: Mapping[str, type] = {"callback": str, "query": str}

    def add(prefix: str, api: str) -> None:
        @router.post(f"{prefix}/hub")
        async def subscribe(request: Request, caller: who) -> Response:
            content = members(await tmf.body(request), known, "")
            callback = await hub.checked(content.get("callback"), desk.allow_internal)
            id_ = str(uuid.uuid4())
            row = {
                "id": id_,
                "tenant": scope_of(caller),
                "api": api,
                "callback": callback,
                "query": content.get("query"),
            }
            with desk.database.begin() as connection:
                connection.execute(sa.insert(store.listeners).values(**row))
            answer = {"id": id_, "callback": callback, "query": content.get("query")}
            return tmf.json_response(answer, 201, {"Location": f"{prefix}/hub/{id_}"})

        @router.delete(f"{prefix}/hub/{{id_}}")
        async def unsubscribe(id_: str, caller: who) -> Response:
            with desk.database.begin() as connection:
                row = visible(store.one(connection, store.listeners, id_), caller, f"listener {id_}")
                if row["api"] != api:
                    raise Problem(404, "Not Found", f"there is no listener {id_}")
                connection.execute(sa.delete(store.listeners).where(store.listeners.c.id == id_))
            return Response(status_code=204)

    for prefix, api in ((ORDERING, "ordering"), (INVENTORY, "inventory"), (CATALOGUE, "catalogue")):
        add(prefix, api)
    return router

"""Orders (TMF641): placed, read, annotated, cancelled, followed."""

import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from stackkit import durable
from stackkit.problems import Problem

from gro import bodies, changes, documents, models, openapi, resources, store, streams, tmf
from gro.checked import Checked
from gro.desk import Desk, scope_of, visible
from gro.documents import ORDERING
from gro.fulfilment import KIND
from gro.notices import OUTBOX, SITES
from gro.order_request import Checker

Json = Any

ENDED = ("completed", "failed", "cancelled")
BODY = (400, 413, 415)
_ROUTED = {"name": "branch-1", "device": "SN-0001", "access": "routed", "gateway": "10.1.0.1/24"}
_BRIDGED = {"name": "branch-2", "device": "SN-0002", "access": "bridged", "vlan": 7, "gateway": "10.2.0.1/24"}
_LINKS = {
    "order": openapi.link("readServiceOrder"),
    "change": openapi.link("changeServiceOrder"),
    "keep": openapi.link("deleteServiceOrder"),
    "cancel": openapi.link("cancelServiceOrder", body={"serviceOrder": {"id": "$response.body#/id"}}),
}


def _example(specification: str, name: str, value: Json) -> Json:
    service = {
        "serviceSpecification": {"id": specification},
        "serviceCharacteristic": [{"name": name, "value": value}],
    }
    return {"serviceOrderItem": [{"id": "1", "action": "add", "service": service}]}


EXAMPLES = {
    "Site to Internet": _example("site-to-internet", "site", _ROUTED),
    "Site to Site": _example("site-to-site", "sites", [{"name": "branch-1"}, _BRIDGED]),
}


def write_order(connection: sa.Connection, checked: Checked, engine: durable.Engine) -> str:
    """Order, services, sites and saga in one transaction: acknowledged means that all of it is on disk."""
    id_, at = str(uuid.uuid4()), documents.now()
    row = {"id": id_, "tenant": checked.tenant, "state": "acknowledged", "document": checked.document, "created": at}
    connection.execute(sa.insert(store.orders).values(**row))
    for site in checked.sites.values():
        store.add_site(connection, site)
    for added in checked.add:
        one, specification = added.service, added.specification
        document = {"item": added.item, "service": added.document, "specification": specification.name}
        connection.execute(
            sa.insert(store.services).values(
                id=one.id, tenant=one.tenant, specification=specification.id, internet=one.internet, state="reserved",
                in_network=False, sites=list(one.sites), document=document, added_by=id_, created=at,
                **store.options_of(one),
            )
        )  # fmt: skip
        documents.tell_service(connection, one.id, "ServiceCreateEvent")
    store.set_services(connection, checked.remove, removed_by=id_)
    changes.write(connection, id_, checked)
    engine.submit(connection, id_, KIND, {"tenant": checked.tenant})
    documents.tell_order(connection, id_, "ServiceOrderCreateEvent")
    return id_


def orders(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=ORDERING, tags=["serviceOrdering"])
    create_body = Annotated[models.ServiceOrderCreate, Depends(bodies.body(models.ServiceOrderCreate))]
    update_body = Annotated[
        models.ServiceOrderUpdate, Depends(bodies.body(models.ServiceOrderUpdate, bodies.PATCH_TYPES))
    ]

    @router.post(
        "/serviceOrder", operation_id="createServiceOrder", status_code=201, response_class=Response,
        responses=openapi.gives(resources.ServiceOrder, 201, (*BODY, 409), _LINKS),
        openapi_extra=openapi.takes(models.ServiceOrderCreate, examples=EXAMPLES),
    )  # fmt: skip
    async def create(caller: who, order: create_body) -> Response:
        with desk.database.begin() as connection:
            checked = Checker(desk.catalogue, connection, scope_of(caller), desk.domain).check(order)
            id_ = write_order(connection, checked, desk.engine)
        document = desk.document(desk.order(id_, caller))
        desk.engine.launch(id_)
        desk.notices.tell(SITES, OUTBOX)
        return tmf.json_response(document, 201, {"Location": document["href"]})

    @router.get(
        "/serviceOrder", operation_id="listServiceOrders", response_class=Response,
        responses=openapi.lists(resources.ServiceOrder),
    )  # fmt: skip
    async def listed(request: Request, caller: who, paging: Annotated[tmf.Paging, Depends()]) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.orders, scope_of(caller))
        return tmf.page(request, paging, rows, desk.document)

    @router.get(
        "/serviceOrder/{id_}", operation_id="readServiceOrder", response_class=Response,
        responses=openapi.reads(resources.ServiceOrder),
    )  # fmt: skip
    async def retrieve(id_: str, caller: who, fields: tmf.Fields = None) -> Response:
        return tmf.json_response(tmf.select(desk.document(desk.order(id_, caller)), fields))

    @router.patch(
        "/serviceOrder/{id_}", operation_id="changeServiceOrder", response_class=Response,
        responses=openapi.gives(resources.ServiceOrder, 200, (*BODY, 404, 409)),
        openapi_extra=openapi.takes(models.ServiceOrderUpdate, bodies.PATCH_TYPES),
    )  # fmt: skip
    async def change(id_: str, caller: who, update: update_body) -> Response:
        """TMF641 4.1: what describes an order may change while it is open; its items never (cancel it, order anew)."""
        with desk.database.begin() as connection:
            row = visible(store.one(connection, store.orders, id_), caller, f"service order {id_:.80}")
            if row["state"] in ENDED:
                raise Problem(409, "Order has ended", f"the order is {row['state']}: nothing of it changes any more")
            merged = {**row["document"], **update.document()}
            document = {key: value for key, value in merged.items() if value is not None}
            key = store.orders.c.id == id_
            connection.execute(sa.update(store.orders).where(key).values(document=document))
            documents.tell_order(connection, id_, "ServiceOrderAttributeValueChangeEvent")
        desk.notices.tell(id_, OUTBOX)
        return tmf.json_response(desk.document(desk.order(id_, caller)))

    @router.delete(
        "/serviceOrder/{id_}", operation_id="deleteServiceOrder", response_class=Response, status_code=409,
        responses=openapi.refuses((404, 409)),
    )  # fmt: skip
    async def delete(id_: str, caller: who) -> Response:
        """Always refused: an order is a record of what was done. It is cancelled, or its services are deleted."""
        row = desk.order(id_, caller)
        raise Problem(409, "Order is kept", f"the order is {row['state']}; use cancelServiceOrder, or order the delete")

    @router.get(
        "/serviceOrder/{id_}/events", operation_id="followServiceOrder", response_class=Response,
        responses=openapi.streams("A milestone, or the order's state; ends with it (ours)", ("step", "state"), (404,)),
    )  # fmt: skip
    async def events(id_: str, caller: who) -> Response:
        desk.order(id_, caller)
        return streams.response(_steps(desk, id_))

    return router


async def _steps(desk: Desk, id_: str) -> AsyncIterator[str]:
    """The order's steps as server-sent events, those of the past first; ends with the order."""
    told: dict[str, Json] = {}
    state = None
    with desk.notices.watching(id_) as changed:
        while True:
            changed.clear()
            with desk.database.read() as connection:
                row = store.one(connection, store.orders, id_)
            assert row is not None
            for step in map(documents.milestone, desk.engine.journal.records(id_)):
                if told.get(step["id"]) != step:
                    told[step["id"]] = step
                    yield streams.event("step", step)
            if row["state"] != state:
                state = row["state"]
                yield streams.event("state", {"state": state, "problem": row["problem"]})
            if state in ENDED:
                return
            if not await streams.wait(changed):
                yield streams.HEARTBEAT


def cancellations(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=ORDERING, tags=["serviceOrdering"])
    title = "Invalid cancellation"
    body = Annotated[
        models.CancelServiceOrderCreate, Depends(bodies.body(models.CancelServiceOrderCreate, title=title))
    ]

    def document(row: store.Row) -> dict[str, Json]:
        with desk.database.read() as connection:
            found = store.one(connection, store.orders, row["service_order"])
        assert found is not None
        return documents.cancellation(row, found["state"])

    @router.post(
        "/cancelServiceOrder", operation_id="cancelServiceOrder", status_code=201, response_class=Response,
        responses=openapi.gives(
            resources.CancelServiceOrder, 201, (*BODY, 409), {"read": openapi.link("readCancelServiceOrder")}
        ),
        openapi_extra=openapi.takes(models.CancelServiceOrderCreate),
    )  # fmt: skip
    async def create(caller: who, wish: body) -> Response:
        reference = wish.serviceOrder.id
        with desk.database.begin() as connection:
            found = store.one(connection, store.orders, reference)
            if found is None or scope_of(caller) not in (None, found["tenant"]):
                raise Problem(400, title, f"there is no service order {reference:.80}", "/serviceOrder/id")
            row = _cancel(desk, connection, found, wish)
        desk.engine.wake(reference)
        desk.notices.tell(reference, OUTBOX)
        answer = document(row)
        return tmf.json_response(answer, 201, {"Location": answer["href"]})

    @router.get(
        "/cancelServiceOrder", operation_id="listCancelServiceOrders", response_class=Response,
        responses=openapi.lists(resources.CancelServiceOrder),
    )  # fmt: skip
    async def listed(request: Request, caller: who, paging: Annotated[tmf.Paging, Depends()]) -> Response:
        with desk.database.read() as connection:
            rows = store.many(connection, store.cancellations, scope_of(caller))
        return tmf.page(request, paging, rows, document)

    @router.get(
        "/cancelServiceOrder/{id_}", operation_id="readCancelServiceOrder", response_class=Response,
        responses=openapi.reads(resources.CancelServiceOrder),
    )  # fmt: skip
    async def retrieve(id_: str, caller: who, fields: tmf.Fields = None) -> Response:
        with desk.database.read() as connection:
            row = visible(store.one(connection, store.cancellations, id_), caller, f"cancellation {id_:.80}")
        return tmf.json_response(tmf.select(document(row), fields))

    return router


def _cancel(
    desk: Desk, connection: sa.Connection, found: store.Row, wish: models.CancelServiceOrderCreate
) -> store.Row:
    """The wish and the order's new state, in one transaction with the saga's."""
    given = {key: value for key, value in wish.document().items() if key != "serviceOrder"}
    row = {"id": str(uuid.uuid4()), "tenant": found["tenant"], "service_order": found["id"],
           "document": given, "created": documents.now()}  # fmt: skip
    if not desk.engine.journal.mark_cancelled(connection, found["id"]):
        text = f"the order is {found['state']}: only an order in flight is cancelled; order a delete instead"
        raise Problem(409, "Order is not in flight", text, "/serviceOrder/id")
    connection.execute(sa.insert(store.cancellations).values(**row))
    change = sa.update(store.orders).where(store.orders.c.id == found["id"])
    connection.execute(change.values(state="pendingCancellation"))
    documents.tell_order(connection, found["id"])
    return row

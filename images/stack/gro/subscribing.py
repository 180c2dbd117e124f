"""Listeners (TMF630 /hub): who is told of what by a callback. They are seen by nobody, their ids are their owners'."""

import uuid
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Response
from stackkit.problems import Problem

from gro import bodies, hub, models, openapi, resources, store, tmf
from gro.desk import Desk, scope_of, visible
from gro.documents import CATALOGUE, INVENTORY, ORDERING

Json = Any


# Of one tenant and API: each costs a row and a call for every event.
MAX_LISTENERS = 20


def hubs(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(tags=["hub"])
    for prefix, api in ((ORDERING, "Ordering"), (INVENTORY, "Inventory"), (CATALOGUE, "Catalogue")):
        _add(router, desk, who, prefix, api)
    return router


def _add(router: APIRouter, desk: Desk, who: Any, prefix: str, name: str) -> None:
    api = name.lower()
    wanted = models.EventSubscriptionInput
    body = Annotated[models.EventSubscriptionInput, Depends(bodies.body(wanted, title="Invalid subscription"))]

    @router.post(
        f"{prefix}/hub", operation_id=f"subscribe{name}", status_code=201, response_class=Response,
        responses=openapi.gives(
            resources.EventSubscription, 201, (400, 409, 413, 415), {"end": openapi.link(f"unsubscribe{name}")}
        ),
        openapi_extra=openapi.takes(wanted),
    )  # fmt: skip
    async def subscribe(caller: who, subscription: body) -> Response:
        callback = await hub.checked(subscription.callback, desk.allow_internal)
        row = {"id": str(uuid.uuid4()), "tenant": scope_of(caller), "api": api, "callback": callback,
               "query": subscription.query}  # fmt: skip
        with desk.database.begin() as connection:
            if store.listeners_of(connection, row["tenant"], api) >= MAX_LISTENERS:
                text = f"there are {MAX_LISTENERS} listeners already: end one of them (DELETE {prefix}/hub/ID)"
                raise Problem(409, "Too many listeners", text)
            connection.execute(sa.insert(store.listeners).values(**row))
        answer = {"id": row["id"], "callback": callback, "query": subscription.query}
        return tmf.json_response(answer, 201, {"Location": f"{prefix}/hub/{row['id']}"})

    @router.delete(
        f"{prefix}/hub/{{id_}}", operation_id=f"unsubscribe{name}", status_code=204, response_class=Response,
        responses=openapi.nothing((404,)),
    )  # fmt: skip
    async def unsubscribe(id_: str, caller: who) -> Response:
        with desk.database.begin() as connection:
            row = visible(store.one(connection, store.listeners, id_), caller, f"listener {id_:.80}")
            if row["api"] != api:
                raise Problem(404, "Not Found", f"there is no listener {id_:.80}")
            connection.execute(sa.delete(store.listeners).where(store.listeners.c.id == id_))
        return Response(status_code=204)

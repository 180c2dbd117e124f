"""`orderPlan` (ours): every edit that an order would make, before anything is done."""

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from stackkit import durable
from stackkit.problems import Problem

from gro import bodies, models, openapi, resources, sdno, secrecy, store, tmf
from gro.checked import Checked
from gro.desk import Desk, scope_of
from gro.documents import ORDERING
from gro.order_request import Checker
from gro.ordered import Service, Site
from gro.ordered import change as change_of
from gro.ordering import EXAMPLES
from gro.restconf import RefusedError

Json = Any


def plans(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(prefix=ORDERING, tags=["serviceOrdering"])
    body = Annotated[models.ServiceOrderCreate, Depends(bodies.body(models.ServiceOrderCreate))]

    @router.post(
        "/orderPlan", operation_id="planServiceOrder", response_class=Response,
        responses=openapi.gives(resources.OrderPlan, 200, (400, 409, 413, 415, 422)),
        openapi_extra=openapi.takes(models.ServiceOrderCreate, examples=EXAMPLES),
    )  # fmt: skip
    async def plan(caller: who, order: body) -> Response:
        """Every edit of every device that this order would make (serviceOrder's body). Nothing is written."""
        with desk.database.begin() as connection:
            checked = Checker(desk.catalogue, connection, scope_of(caller), desk.domain).check(order)
            sites = {**store.tenant_sites(connection, checked.tenant), **checked.fresh_sites}
            rows = [store.one(connection, store.services, id_) for id_ in checked.remove]
            leaving = [store.service_of(row) for row in rows if row is not None]
            present = {one.id: one for one in (*store.in_network(connection, checked.tenant), *leaving)}
        try:
            found = await _planned(desk, checked, sites, list(present.values()))
        except RefusedError as error:
            raise Problem(422, "Order cannot be built", secrecy.redacted(str(error), checked.secrets)) from None
        except durable.Later as error:
            text = secrecy.redacted(str(error), checked.secrets)
            raise Problem(503, "Service Unavailable", text, headers={"retry-after": "1"}) from None
        return tmf.json_response(secrecy.redacted(found, checked.secrets))

    return router


async def _planned(desk: Desk, checked: Checked, sites: dict[str, Site], present: list[Service]) -> Json:
    """The change of the network, and what the controller says that it would do to devices."""
    added = {name for service in checked.fresh for name in service.sites}
    sites = sites | {name: await _named(desk, sites[name]) for name in sorted(added) if sites[name].device_name is None}
    change = change_of(present, sites, checked.fresh, checked.remove, [one.before for one in checked.modify])
    answer = await desk.controller.plan(sdno.plan(change))
    intent = sdno.patch(change, "plan")["ietf-yang-patch:yang-patch"]["edit"]
    notes = {"note": answer["note"]} if answer.get("note") else {}
    return {"intent": intent, "edit": answer.get("edit", []), **notes, "@type": "OrderPlan"}


async def _named(desk: Desk, site: Site) -> Site:
    """A site with its device's name; what is planned may be plugged in later, but must be registered. The operator's
    own that serves somebody else is as one that nobody registered."""
    device = await desk.manager.device_of(site.tenant, site.device)
    with desk.database.read() as connection:
        taken = device is not None and store.is_anothers(connection, site.tenant, device["name"])
    if device is None or taken:
        raise RefusedError(f"device {site.device} of site {site.name} is not registered for {site.tenant}")
    return dataclasses.replace(site, device_name=device["name"])

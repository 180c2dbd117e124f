"""What has been ordered and is there: the inventory; and the button that ends a service."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import ordering, pages
from portal.sessions import Session

from . import forms
from .plans import SERVICES, propose
from .shared import Desk, go, number, safe_id


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/services")
    async def listed(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        part = await desk.gro.newest(session, SERVICES, number(request.query_params.get("page")))
        return pages.page("services.html", session, part=part, customer_of=ordering.customer_of)

    @routes.get("/services/{service_id}")
    async def service(service_id: str, request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        found = await desk.gro.get(session, f"{SERVICES}/{safe_id(service_id)}")
        return pages.page("service.html", session, service=found, customer=ordering.customer_of(found))

    @routes.get("/services/{service_id}/change")
    async def change(service_id: str, request: Request) -> Response:
        """The form with the service as it is, or as it is in a plan (`?plan=`)."""
        session = await desk.keeper.viewer(request)
        form = await _change(desk, session, service_id)
        if plan := desk.plans.get(session, request.query_params.get("plan", "")):
            form = ordering.from_body(form.offer, plan.body)
        return await forms.page(desk, session, form)

    @routes.post("/services/{service_id}/change")
    async def send(service_id: str, request: Request) -> Response:
        session, pairs = await desk.keeper.poster(request)
        given = dict(pairs)
        now = await _change(desk, session, service_id)
        form = forms.filled(session, now.offer, given)
        form.service, form.customer = now.service, now.customer
        return await forms.answer(desk, session, form, given)

    @routes.post("/services/{service_id}/delete")
    async def delete(service_id: str, request: Request) -> Response:
        """Plan the end of a service; it is ordered on the plan's page."""
        session, _ = await desk.keeper.poster(request)
        found = await desk.gro.get(session, f"{SERVICES}/{safe_id(service_id)}")
        customer = ordering.customer_of(found) if session.person.is_admin else ""
        return go(f"/plans/{await propose(desk, session, ordering.deletion(found, customer))}")

    return routes


async def _change(desk: Desk, session: Session, service_id: str) -> ordering.Form:
    found = await desk.gro.get(session, f"{SERVICES}/{safe_id(service_id)}")
    owner = ordering.customer_of(found)
    offer = await forms.offer_of(desk, session, found["serviceSpecification"]["id"])
    sites = [one for one in await desk.gro.get(session, "/sites") if one["tenant"] == owner]
    return ordering.change(offer, found, sites, owner if session.person.is_admin else "")

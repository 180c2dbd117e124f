"""What can be ordered, and the form to order it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import ordering, pages
from portal.desk import CATALOGUE

from . import forms
from .shared import Desk


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/catalogue")
    async def catalogue(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        offers = await desk.gro.get(session, f"{CATALOGUE}/serviceSpecification")
        return pages.page("catalogue.html", session, offers=offers)

    @routes.get("/catalogue/{offer_id}")
    async def form(offer_id: str, request: Request) -> Response:
        """A new form, or the one that a plan was made from (`?plan=`)."""
        session = await desk.keeper.viewer(request)
        offer = await forms.offer_of(desk, session, offer_id)
        plan = desk.plans.get(session, request.query_params.get("plan", ""))
        return await forms.page(desk, session, ordering.from_body(offer, plan.body) if plan else ordering.blank(offer))

    @routes.post("/catalogue/{offer_id}")
    async def send(offer_id: str, request: Request) -> Response:
        session, pairs = await desk.keeper.poster(request)
        given = dict(pairs)
        offer = await forms.offer_of(desk, session, offer_id)
        return await forms.answer(desk, session, forms.filled(session, offer, given), given)

    return routes

"""What can be ordered, and the form to order it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import ordering, pages, secrecy
from portal.desk import CATALOGUE
from portal.failures import Failure, Refused
from portal.ordering import Form
from portal.sessions import Session

from .plans import propose
from .shared import Desk, Json, go, safe_id


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
        offer = await _offer(desk, session, offer_id)
        plan = desk.plans.get(session, request.query_params.get("plan", ""))
        filled = ordering.from_body(offer, plan.body) if plan else ordering.blank(offer)
        return await _page(desk, session, filled)

    @routes.post("/catalogue/{offer_id}")
    async def send(offer_id: str, request: Request) -> Response:
        """One more site, one less, or the plan of what is filled in; without scripts, too."""
        session, pairs = await desk.keeper.poster(request)
        offer = await _offer(desk, session, offer_id)
        given = dict(pairs)
        filled = ordering.from_pairs(
            offer, ordering.unsealed(given, lambda held: secrecy.unseal(session.secret, held).decode())
        )
        if "_add" in given or "_remove" in given:
            filled.resize(given.get("_add", given.get("_remove", "")), more="_add" in given)
            return await _page(desk, session, filled)
        body = filled.body()
        try:
            return go(f"/plans/{await propose(desk, session, body)}")
        except Refused as refusal:
            if refusal.status not in (400, 403, 409):
                raise
            filled.blame(body, refusal.faults)
            return await _page(desk, session, filled, 400)

    return routes


async def _offer(desk: Desk, session: Session, id_: str) -> Json:
    return await desk.gro.get(session, f"{CATALOGUE}/serviceSpecification/{safe_id(id_)}")


async def _page(desk: Desk, session: Session, form: Form, status: int = 200) -> Response:
    form.seal = lambda text: secrecy.seal(session.secret, text.encode())
    sites = await desk.gro.get(session, "/sites")
    known = sorted({site["name"] for site in sites})
    tenants = await _tenants(desk, session) if session.person.is_admin else []
    return pages.page("order_form.html", session, status, form=form, known_sites=known, tenants=tenants)


async def _tenants(desk: Desk, session: Session) -> Sequence[tuple[str, str]]:
    """Whom an administrator may order for; an order can name one that the list does not."""
    try:
        content = await desk.identity.get(session, "/scim/v2/Tenants", {"count": "1000"})
    except (Refused, Failure):
        return []
    return sorted((one["name"], one.get("displayName", one["name"])) for one in content.get("Resources", []))

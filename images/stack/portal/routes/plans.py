"""What an order would do, shown before anything is done; and the button that orders it."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import ordering, pages
from portal.desk import INVENTORY, ORDERING
from portal.failures import Refused
from portal.sessions import Session

from .shared import Desk, Json, go, not_found, safe_id

SERVICES = f"{INVENTORY}/service"


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/plans/{plan_id}")
    async def shown(plan_id: str, request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        plan = desk.plans.get(session, safe_id(plan_id))
        if plan is None:
            raise not_found()
        item = plan.body["serviceOrderItem"][0]
        there = item["action"] != "add"
        service = await desk.gro.get(session, f"{SERVICES}/{safe_id(item['service']['id'])}") if there else None
        by_device = itemgetter("device")
        devices = [(name, list(edits)) for name, edits in groupby(sorted(plan.edits["edit"], key=by_device), by_device)]
        return pages.page(
            "plan.html", session, plan=plan, item=item, devices=devices, intent=plan.edits["intent"],
            notes=plan.edits.get("note", []),
            customer=ordering.customer_of(plan.body), there=service,
        )  # fmt: skip

    @routes.post("/plans/{plan_id}")
    async def place(plan_id: str, request: Request) -> Response:
        """Order it. A second click, a reload and a second tab all end at the one order."""
        session, _ = await desk.keeper.poster(request)
        order = await desk.plans.place(session, safe_id(plan_id))
        if order is None:
            raise not_found()
        return go(f"/orders/{order}")

    return routes


async def propose(desk: Desk, session: Session, body: Json) -> str:
    """Have an order planned and keep the plan; its id.

    An order that GRO takes but cannot plan at this moment (a device that nobody has registered yet, a controller that
    is away) may be placed all the same: it is held until it can be carried out. The page says what stands in the way.

    Raises:
        Refused: the order itself is not good.
    """
    edits: Json = {"intent": [], "edit": []}
    obstacle = None
    try:
        answer = await desk.gro.ask(session, "POST", f"{ORDERING}/orderPlan", body)
        edits |= answer.json()
    except Refused as refusal:
        if refusal.status not in (422, 503):
            raise
        obstacle = refusal.text
    return desk.plans.keep(session, body, edits, obstacle)

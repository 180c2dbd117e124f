"""Orders: the list, each with its steps as they happen, and the button that cancels."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from portal import live, ordering, pages
from portal.desk import ORDERING
from portal.failures import Refused

from .shared import Desk, go, number, safe_id

ORDERS = f"{ORDERING}/serviceOrder"


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/orders")
    async def listed(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        part = await desk.gro.newest(session, ORDERS, number(request.query_params.get("page")))
        return pages.page("orders.html", session, part=part, customer_of=ordering.customer_of)

    @routes.get("/orders/{order_id}")
    async def order(order_id: str, request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        found = await desk.gro.get(session, f"{ORDERS}/{safe_id(order_id)}")
        return pages.page("order.html", session, order=found, customer=ordering.customer_of(found))

    @routes.get("/orders/{order_id}/live")
    async def events(order_id: str, request: Request) -> Response:
        session = await desk.keeper.viewer(request, use=False)
        found = await desk.gro.get(session, f"{ORDERS}/{safe_id(order_id)}")
        return StreamingResponse(
            live.stream(desk.keeper, desk.gro, session, live.OrderView(session, found)), media_type="text/event-stream"
        )

    @routes.post("/orders/{order_id}/cancel")
    async def cancel(order_id: str, request: Request) -> Response:
        session, _ = await desk.keeper.poster(request)
        body = {"serviceOrder": {"id": safe_id(order_id)}, "cancellationReason": f"by {session.person.user_name}"}
        try:
            await desk.gro.ask(session, "POST", f"{ORDERING}/cancelServiceOrder", body)
        except Refused as refusal:
            # Not in flight (any more): the order's page says what it is instead. Not there: that page says so, too.
            if refusal.status not in (400, 409):
                raise
        return go(f"/orders/{order_id}")

    return routes

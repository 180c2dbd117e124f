"""Sites with their live state."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from portal import live, pages

from .shared import Desk


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sites")
    async def whole(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        return pages.page("sites.html", session, sites=await desk.gro.get(session, "/sites"))

    @routes.get("/sites/live")
    async def events(request: Request) -> Response:
        session = await desk.keeper.viewer(request, use=False)
        view = live.SitesView(desk.gro, session, await desk.gro.get(session, "/sites"))
        return StreamingResponse(live.stream(desk.keeper, desk.gro, session, view), media_type="text/event-stream")

    return routes

"""Sites with their live state."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import pages

from .shared import Desk


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sites")
    async def whole(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        return pages.page("sites.html", session, sites=await desk.gro.get(session, "/sites"))

    @routes.get("/sites/table")
    async def table(request: Request) -> Response:
        """The table alone, which the page asks for every other second; a timer keeps no session alive."""
        session = await desk.keeper.viewer(request, use=False)
        return pages.page("sites_table.html", session, sites=await desk.gro.get(session, "/sites"))

    return routes

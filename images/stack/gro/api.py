"""GRO's HTTP interface: TMF641 ordering, TMF638 inventory, TMF633 catalogue; and ours: plan, steps, sites, health."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Request, Response
from stackkit import problems
from stackkit.problems import Problem
from stackkit.tokens import Caller
from starlette.routing import Match

from gro import openapi, ordering, places, planning, reading, resources, subscribing, tmf
from gro.desk import Authenticate, Desk

_SUMMARY = "Orders of services (TMF641), their inventory (TMF638) and catalogue (TMF633)"


def create_app(desk: Desk, authenticate: Authenticate) -> FastAPI:
    app = FastAPI(title="elasticlab GRO", summary=_SUMMARY, version="4.1", docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_exception_handler(405, _not_allowed)
    who = Annotated[Caller, Depends(authenticate)]
    for build in (
        ordering.orders, ordering.cancellations, planning.plans, reading.inventory, reading.catalogue,
        subscribing.hubs, places.places,
    ):  # fmt: skip
        app.include_router(build(desk, who))

    @app.get(
        "/health", operation_id="readHealth", response_class=Response, responses=openapi.alive(resources.Health),
        tags=["health"],
    )  # fmt: skip
    async def health() -> Response:
        """Whether this process answers and can read its database."""
        with desk.database.read() as connection:
            connection.execute(sa.select(sa.literal(1)))
        return tmf.json_response({"status": "ok"})

    openapi.install(app, desk.catalogue)
    return app


async def _not_allowed(request: Request, _: Exception) -> Response:
    """All methods of the path (RFC 9110 section 10.2.1); Starlette would name those of the first route only."""
    routes = request.app.routes
    possible = [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    detail = f"{request.method} is not possible here; the header field Allow names what is."
    return Problem(405, "Method Not Allowed", detail, headers={"allow": ", ".join(possible)}).response()

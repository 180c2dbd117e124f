"""What an administrator sees besides: devices and alarms. The manager decides who may; tenants may not."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portal import pages
from portal.desk import Service
from portal.failures import Failure, Refused
from portal.sessions import Session

from .shared import Desk, Json

_DEVICES = "/restconf/data/elasticlab-devices:devices"
_ALARMS = "/restconf/data/ietf-alarms:alarms/alarm-list"


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/devices")
    async def devices(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        found = await _read(desk.manager, session, _DEVICES, "elasticlab-devices:devices")
        return pages.page("devices.html", session, devices=found.get("device", []))

    @routes.get("/alarms")
    async def alarms(request: Request) -> Response:
        session = await desk.keeper.viewer(request)
        entries: list[Json] = []
        silent: list[str] = []
        for service in (desk.manager, desk.controller):
            try:
                found = await _read(service, session, _ALARMS, "ietf-alarms:alarm-list")
            except Failure as failure:
                silent.append(failure.text)
                continue
            entries += found.get("alarm", [])
        entries.sort(key=lambda one: str(one.get("last-changed")), reverse=True)
        # Those that stand come first (RFC 8632 section 3.5.1).
        entries.sort(key=lambda one: bool(one.get("is-cleared")))
        return pages.page("alarms.html", session, alarms=entries, silent=silent)

    return routes


async def _read(service: Service, session: Session, path: str, name: str) -> dict[str, Json]:
    """A container of a RESTCONF server (RFC 8040 section 4.3); one that is not there is empty."""
    try:
        content = await service.get(session, path)
    except Refused as refusal:
        # RFC 8040: 404 is also what data that do not exist get.
        if refusal.status == 404:
            return {}
        raise
    return dict(content.get(name, {}))

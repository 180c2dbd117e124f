"""Sites (ours): as they were ordered, and as they are; once, or whenever one changes."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Response
from stackkit import durable

from gro import openapi, ordered, resources, store, streams, tmf
from gro.desk import Desk, scope_of
from gro.notices import SITES
from gro.restconf import RefusedError, Site

Json = Any

_LIVE = ("state", "reason", "since", "round-trip-time")


def places(desk: Desk, who: Any) -> APIRouter:
    router = APIRouter(tags=["sites"])

    @router.get(
        "/sites", operation_id="listSites", response_class=Response,
        responses=openapi.lists(resources.Site, paged=False),
    )  # fmt: skip
    async def sites(caller: who) -> Response:
        """The caller's sites with live state."""
        found = _ordered(desk, scope_of(caller))
        try:
            live = await desk.controller.sites({site.id for site in found})
        except (durable.Later, RefusedError):
            live = {}  # what was ordered is known without the controller; how it is, is not
        return tmf.json_response([_document(site, live) for site in found])

    @router.get(
        "/sites/events", operation_id="followSites", response_class=Response,
        responses=openapi.streams("A site (all at first, then each that changes), or an id", ("site", "gone")),
    )  # fmt: skip
    async def events(caller: who) -> Response:
        """The caller's sites as they change. The stream ends after a while; whoever comes again is told all anew."""
        return streams.response(_changes(desk, scope_of(caller)))

    return router


def _ordered(desk: Desk, tenant: str | None) -> list[ordered.Site]:
    with desk.database.read() as connection:
        return store.all_sites(connection, tenant)


def _document(site: ordered.Site, live: dict[str, Site]) -> dict[str, Json]:
    state = live.get(site.id, {})
    known = {key: state[key] for key in _LIVE if key in state}
    return {"id": site.id, "tenant": site.tenant, **site.document(), "state": "unknown", **known}


async def _changes(desk: Desk, tenant: str | None) -> AsyncIterator[str]:
    told: dict[str, Json] = {}
    with desk.notices.watching(SITES) as changed:
        yield streams.HEARTBEAT  # so that the client knows at once that it is heard
        while True:
            changed.clear()
            now = {site.id: _document(site, desk.watch.sites) for site in _ordered(desk, tenant)}
            for id_, site in now.items():
                if told.get(id_) != site:
                    yield streams.event("site", site)
            for id_ in told.keys() - now.keys():
                yield streams.event("gone", {"id": id_})
            told = now
            if not await streams.wait(changed):
                yield streams.HEARTBEAT

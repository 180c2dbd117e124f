"""The north side: RESTCONF on registry and alarms. Administrators may do all, components read, tenants nothing.

What is public on the WAN is so here, too: components find the operational CA and its CRL under the service CA's trust.
"""

from __future__ import annotations

from pathlib import Path

from stackkit.restconf import ADMIN, Verify, authenticator
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from yangkit import Datastores, Module, NetconfServer, Schema
from yangkit.restconf import RestconfApp

from manager.registry import QUARANTINE, RELEASE, Registry

MODULES = (Module("ietf-alarms"), Module("elasticlab-devices"))


def datastores(yang: list[Path], registry: Registry, data: Path) -> Datastores:
    """The datastore of registry and alarms."""
    return Datastores(Schema(yang, MODULES), registry, data / "startup.xml")


def application(stores: Datastores, registry: Registry, verify: Verify, public: Starlette) -> ASGIApp:
    """RESTCONF on it, and ``public`` beside it."""
    actions = {RELEASE: registry.release, QUARANTINE: registry.quarantine}
    server = NetconfServer(stores, rpcs=actions, recovery_users=(ADMIN,))
    restconf = RestconfApp(
        server, authenticate=authenticator(verify, "The registry is for administrators and components")
    )
    paths = {getattr(route, "path", "") for route in public.routes}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = public if scope["type"] == "http" and scope["path"] in paths else restconf
        await app(scope, receive, send)

    return serve

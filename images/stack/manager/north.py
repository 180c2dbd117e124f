"""The north side: RESTCONF on registry and alarms. Administrators may do all, components read, tenants nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from stackkit import tokens
from yangkit import Datastores, Module, NetconfServer, Schema
from yangkit.restconf import Forbidden, RestconfApp, Scope, Unauthorized
from yangkit.restconf.messages import protocol_error

from manager.registry import RELEASE, Registry

log = logging.getLogger(__name__)

ADMIN = "admin"
MODULES = (Module("ietf-alarms"), Module("elasticlab-devices"))
Verify = Callable[[str, bytes | None], Awaitable[tokens.Caller]]


def datastores(yang: list[Path], registry: Registry, data: Path) -> Datastores:
    """The datastore of registry and alarms."""
    return Datastores(Schema(yang, MODULES), registry, data / "startup.xml")


def application(stores: Datastores, registry: Registry, verify: Verify) -> RestconfApp:
    """RESTCONF on it."""
    server = NetconfServer(stores, rpcs={RELEASE: registry.release}, recovery_users=(ADMIN,))
    return RestconfApp(server, authenticate=authenticator(verify))


def authenticator(verify: Verify) -> Callable[[Scope], Awaitable[str]]:
    """Bearer tokens (RFC 6750) become users of access control (RFC 8341): everybody but ``admin`` may only read."""

    async def authenticate(scope: Scope) -> str:
        values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        scheme, _, token = (values[0].decode("latin-1") if len(values) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized('Bearer realm="elasticlab"', "A bearer token is required")
        try:
            caller = await verify(token.strip(), scope.get("state", {}).get("peer_certificate"))
        except tokens.Unauthorized as error:
            raise Unauthorized('Bearer realm="elasticlab", error="invalid_token"', str(error)) from None
        except tokens.Unavailable as error:
            raise protocol_error(503, "operation-failed", str(error)) from None
        if ADMIN in caller.roles:
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                extra = {"subject": caller.subject, "client": caller.client_id}
                log.info("%s %s", scope["method"], scope["path"], extra=extra)
            return ADMIN
        if "service" in caller.roles:
            return f"service:{caller.client_id}"
        raise Forbidden("The registry is for administrators and components")

    return authenticate

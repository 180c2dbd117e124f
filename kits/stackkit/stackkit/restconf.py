"""Access tokens at a RESTCONF door (`yangkit.restconf`): callers become users of access control (RFC 8341)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from yangkit.restconf import Forbidden, Scope, Unauthorized
from yangkit.restconf.messages import protocol_error

from stackkit import tokens

log = logging.getLogger(__name__)

ADMIN: Final = "admin"
Verify = Callable[[str, bytes | None], Awaitable[tokens.Caller]]
_REALM = 'Bearer realm="elasticlab"'


def authenticator(verify: Verify, forbidden: str) -> Callable[[Scope], Awaitable[str]]:
    """For `RestconfApp(authenticate=…)`: administrators are the user `admin`, a component is `service:CLIENT_ID`.

    Everybody else is told `forbidden`. Tokens are RFC 6750's, in the header only.
    """

    async def authenticate(scope: Scope) -> str:
        values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        scheme, _, token = (values[0].decode("latin-1") if len(values) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized(_REALM, "A bearer token is required")
        try:
            caller = await verify(token.strip(), scope.get("state", {}).get("peer_certificate"))
        except tokens.Unauthorized as error:
            raise Unauthorized(f'{_REALM}, error="invalid_token"', str(error)) from None
        except tokens.Unavailable as error:
            raise protocol_error(503, "operation-failed", str(error)) from None
        if ADMIN in caller.roles:
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                extra = {"subject": caller.subject, "client": caller.client_id}
                log.info("%s %s", scope["method"], scope["path"], extra=extra)
            return ADMIN
        if "service" in caller.roles:
            return f"service:{caller.client_id}"
        raise Forbidden(forbidden)

    return authenticate

"""Who may call: a FastAPI dependency, and the same for other ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import Scope

from stackkit.problems import Problem
from stackkit.tokens import Caller, Unauthorized, Unavailable, Verifier

_REALM = 'Bearer realm="elasticlab"'


def caller(verifier: Verifier, *roles: str) -> Callable[[Request], Awaitable[Caller]]:
    """Dependency that gives the caller, who must have one of `roles` (none named: any caller with a token).

    `who: Annotated[Caller, Depends(web.caller(verifier, "admin"))]`. Answers 401 or 403 as RFC 6750 section 3 wants it,
    and 503 if identity is away.
    """

    async def dependency(request: Request) -> Caller:
        return await authenticate(verifier, request.scope, *roles)

    return dependency


async def authenticate(verifier: Verifier, scope: Scope, *roles: str) -> Caller:
    """The caller of an ASGI request; raises `Problem` (401, 403, 503) like `caller`."""
    token = bearer(scope)
    try:
        who = await verifier.verify(token, scope.get("state", {}).get("peer_certificate"))
    except Unauthorized as error:
        challenge = f'{_REALM}, error="invalid_token", error_description="{error}"'
        raise Problem(
            401, "Unauthorized", f"Access token refused: {error}.", headers={"www-authenticate": challenge}
        ) from None
    except Unavailable as error:
        detail = f"Access tokens cannot be checked now: {error}."
        raise Problem(503, "Service Unavailable", detail, headers={"retry-after": "1"}) from None
    require(who, *roles)
    return who


def require(who: Caller, *roles: str) -> None:
    """Refuse a caller that has none of `roles` (RFC 6750 section 3.1, insufficient_scope)."""
    if roles and who.roles.isdisjoint(roles):
        needed = " or ".join(roles)
        challenge = f'{_REALM}, error="insufficient_scope"'
        raise Problem(403, "Forbidden", f"This takes role {needed}.", headers={"www-authenticate": challenge})


def bearer(scope: Scope) -> str:
    """The bearer token of a request (RFC 6750 section 2.1: in the header only, never in the URL, where logs
    would keep it).
    """
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "Send one access token: `Authorization: Bearer …`."
        raise Problem(401, "Unauthorized", detail, headers={"www-authenticate": _REALM})
    return token.strip()

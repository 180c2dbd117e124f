"""Revocation (RFC 7009) and introspection (RFC 7662)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from identity.grants import Refresh
from identity.records import ADMIN, SERVICE
from identity.schema import now

from .clients import METHODS

if TYPE_CHECKING:
    from .server import Server


@dataclass(frozen=True)
class Known:
    """A token of ours, of either kind, that is good now."""

    claims: dict[str, Any]
    refresh: Refresh | None = None

    def check_client(self, client: Any) -> bool:
        return bool(self.claims["client_id"] == client.client_id)

    def is_expired(self) -> bool:
        return bool(self.claims["exp"] <= now())

    def is_revoked(self) -> bool:
        return False


def look_up(server: Server, token: str) -> Known | None:
    """The hint is not needed: the kinds look different (RFC 7009 section 2.1 allows to ignore it)."""
    if "." in token:
        claims = server.tokens.judge(token)
        return None if claims is None else Known(claims)
    refresh = server.grants.refresh(token)
    if refresh is None or refresh.used is not None or refresh.revoked is not None:
        return None
    person = server.person_of(refresh)
    if person is None:
        return None
    claims = {
        "iss": server.tokens.issuer,
        "sub": refresh.user_id,
        "client_id": refresh.client_id,
        "scope": refresh.scope,
        "iat": refresh.issued,
        "exp": refresh.expires,
        "token_type": "refresh_token",
    }
    return Known(claims, refresh)


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """A refresh token ends with its whole grant, an access token alone (RFC 7009 section 2.1)."""

    CLIENT_AUTH_METHODS = METHODS
    server: Server

    def query_token(self, token: str, _hint: str | None) -> Known | None:
        return look_up(self.server, token)

    def revoke_token(self, token: Known, _request: Any) -> None:
        if token.refresh is not None:
            self.server.grants.revoke(token.refresh.grant_id)
        else:
            self.server.grants.revoke_token(token.claims["jti"], token.claims["exp"])


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    """Components and administrators' programs may look at any token, others at their own only."""

    CLIENT_AUTH_METHODS = METHODS
    server: Server

    def query_token(self, token: str, _hint: str | None) -> Known | None:
        return look_up(self.server, token)

    def check_permission(self, token: Known, client: Any, _request: Any) -> bool:
        return token.check_client(client) or bool({ADMIN, SERVICE} & set(client.program.roles))

    def introspect_token(self, token: Known) -> dict[str, Any]:
        return {"active": True, "token_type": "Bearer", **token.claims}

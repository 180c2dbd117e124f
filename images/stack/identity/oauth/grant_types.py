"""The three grants: authorization code with PKCE, refresh token, client credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, grants
from authlib.oauth2.rfc7636 import CodeChallenge

from identity.grants import Code, Refresh
from identity.schema import now
from identity.tokens import Person

from .clients import METHODS

if TYPE_CHECKING:
    from .server import Server

# BASE64URL(SHA-256) is 43 characters (RFC 7636 section 4.2).
_S256 = re.compile(r"[A-Za-z0-9_-]{43}")


class S256Only(CodeChallenge):  # type: ignore[misc]
    """PKCE (RFC 7636): always, and never `plain` (RFC 9700 section 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if "code_challenge" not in data:
            raise InvalidRequestError("code_challenge is missing: PKCE is required (RFC 7636)")
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        if not _S256.fullmatch(data["code_challenge"]):
            raise InvalidRequestError("code_challenge is not the base64url of a SHA-256")


class AuthorizationCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749 section 4.1. Codes are good once, for a minute, for the client that asked."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: Server

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        person: Person = request.user
        self.server.grants.save_code(
            code=code,
            client_id=request.client.client_id,
            user_id=person.user.id,
            session=person.grant_id or None,
            auth_time=person.auth_time,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope or "",
            challenge=data["code_challenge"],
            nonce=data.get("nonce"),
        )

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        found = self.server.grants.code(code)
        if found is None or found.client_id != client.client_id:
            return None
        if found.used is not None:
            # Somebody uses it a second time: all that the first use gave ends (RFC 6749 section 4.1.2).
            self.server.grants.revoke(found.grant_id)
            return None
        return None if found.revoked is not None or found.expires <= now() else found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Done by `Server.save_token`, in the transaction that saves what the code gives."""

    def authenticate_user(self, authorization_code: Code) -> Person | None:
        return self.server.person_of(authorization_code)


class RefreshToken(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749 section 6 with rotation and detection of reuse (RFC 9700 section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Server

    def authenticate_refresh_token(self, refresh_token: str) -> Refresh | None:
        found = self.server.grants.refresh(refresh_token)
        if found is None or not found.check_client(self.request.client):
            return None
        if found.used is not None:
            self.server.grants.revoke(found.grant_id)
            return None
        return None if found.revoked is not None or found.expires <= now() else found

    def authenticate_user(self, refresh_token: Refresh) -> Person:
        person = self.server.person_of(refresh_token)
        if person is None:
            raise InvalidGrantError("the user is gone or disabled")
        return person

    def revoke_old_credential(self, refresh_token: Refresh) -> None:
        """Done by `Server.save_token`, in the transaction that saves the next one."""


class ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """RFC 6749 section 4.4, for programs that act for themselves."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

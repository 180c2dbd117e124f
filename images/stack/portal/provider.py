"""Identity as OpenID provider: authorization code with PKCE, as a client that proves itself by its certificate.

Tokens are bound to that certificate (RFC 8705 section 3), so they are used on connections of the same client only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from stackkit.tokens import LEEWAY_SECONDS, KeyCache, Unavailable

from .sessions import Person, Tokens

CLIENT_ID = "portal"
SCOPE = "openid profile"


class RefusedError(Exception):
    """Identity gave no tokens, or tokens that are not what was asked for; the text is for the log and the page."""


class Provider:
    def __init__(self, issuer: str, identity_url: str, public_url: str, client: httpx.AsyncClient, keys: KeyCache):
        self.issuer = issuer
        self._url = identity_url.rstrip("/")
        self._callback = f"{public_url}/callback"
        self._goodbye = f"{public_url}/"
        self._client = client
        self._keys = keys

    def authorization(self, state: str, nonce: str, challenge: str) -> str:
        """Where the browser goes to log in (OpenID Connect Core section 3.1.2.1, RFC 7636 section 4.3)."""
        values = {
            "response_type": "code", "client_id": CLIENT_ID, "redirect_uri": self._callback, "scope": SCOPE,
            "state": state, "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{self.issuer}/oauth2/authorize?{urlencode(values)}"

    def farewell(self, tokens: Tokens) -> str:
        """Where the browser goes to end its log-in at identity, too (OpenID Connect RP-Initiated Logout section 2)."""
        values = {"id_token_hint": tokens.identity, "post_logout_redirect_uri": self._goodbye}
        return f"{self.issuer}/oauth2/logout?{urlencode(values)}"

    async def redeem(self, code: str, verifier: str, nonce: str) -> tuple[Person, Tokens]:
        """Tokens for a code (RFC 6749 section 4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "code_verifier": verifier,
        }
        return await self._tokens(form, nonce)

    async def refresh(self, tokens: Tokens, person: Person) -> tuple[Person, Tokens]:
        """The next tokens (RFC 6749 section 6). A refresh token is good once: never ask twice at the same time."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh}
        renewed, fresh = await self._tokens(form, None)
        if renewed.subject != person.subject:  # OpenID Connect Core section 12.2
            raise RefusedError("the refreshed tokens are another person's")
        return renewed, fresh

    async def revoke(self, tokens: Tokens) -> None:
        """End all that came of this log-in (RFC 7009)."""
        await self._post("revoke", {"token": tokens.refresh, "token_type_hint": "refresh_token"})

    async def is_active(self, tokens: Tokens) -> bool:
        """Whether the access token is good *now*: not revoked, its owner neither gone nor disabled (RFC 7662)."""
        answer = await self._post("introspect", {"token": tokens.access, "token_type_hint": "access_token"})
        return answer.get("active") is True

    async def _tokens(self, form: dict[str, str], nonce: str | None) -> tuple[Person, Tokens]:
        answer = await self._post("token", form)
        try:
            tokens = Tokens(
                str(answer["access_token"]),
                str(answer["refresh_token"]),
                str(answer["id_token"]),
                int(answer["expires_in"]),
            )
        except (KeyError, TypeError, ValueError):
            raise RefusedError("the answer of identity has not all tokens") from None
        return await self._person(tokens, nonce), tokens

    async def _post(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        url = f"{self._url}/oauth2/{endpoint}"
        try:
            response = await self._client.post(url, data={"client_id": CLIENT_ID, **form})
        except httpx.HTTPError as error:
            raise Unavailable(f"identity does not answer: {error or type(error).__name__}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise Unavailable(f"identity cannot serve now: status {response.status_code}")
        try:
            content = response.json() if response.content else {}
        except ValueError:
            content = None
        if response.status_code != 200 or not isinstance(content, dict):
            code = content.get("error") if isinstance(content, dict) else None
            raise RefusedError(f"identity refuses {endpoint}: {response.status_code} {str(code)[:80]}")
        return content

    async def _person(self, tokens: Tokens, nonce: str | None) -> Person:
        """Who the ID token names, after the checks of OpenID Connect Core section 3.1.3.7."""
        try:
            header = jws.extract_compact(tokens.identity.encode()).headers()
            key = await self._keys.get(str(header.get("kid")))
            if key is None:
                raise RefusedError("the ID token is signed with a key that identity does not have")
            claims = jwt.decode(tokens.identity, KeySet([key]), algorithms=["ES256"]).claims
            registry = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": CLIENT_ID},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise RefusedError(f"the ID token is not valid: {type(error).__name__}") from None
        if nonce is not None and not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise RefusedError("the ID token answers another log-in (nonce)")
        half = hashlib.sha256(tokens.access.encode()).digest()[:16]
        if claims.get("at_hash") != base64.urlsafe_b64encode(half).rstrip(b"=").decode():
            raise RefusedError("the access token is not the ID token's (at_hash)")
        return _person(claims)


def _person(claims: dict[str, Any]) -> Person:
    tenant, roles = claims.get("tenant"), claims.get("roles", [])
    subject, user_name = claims["sub"], claims.get("preferred_username", claims["sub"])
    texts = (subject, user_name, claims.get("name", user_name), *roles) if isinstance(roles, list) else (None,)
    if not all(isinstance(one, str) for one in texts) or not isinstance(tenant, str | None):
        raise RefusedError("the claims of the ID token are not well-formed")
    return Person(subject, user_name, claims.get("name", user_name), tenant, tuple(roles))

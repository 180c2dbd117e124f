"""Access tokens: checking those of callers (RFC 9068), and getting our own (RFC 6749 section 4.4 with RFC 8705 section
2).

Only ES256 is accepted, whatever the token's header says (RFC 8725 section 3.1). A token that is bound to a certificate
(`cnf` with `x5t#S256`, RFC 8705 section 3) is good on a connection with that certificate only.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from stackkit import http

log = logging.getLogger(__name__)

AUDIENCE: Final = "elasticlab"
LEEWAY_SECONDS: Final = 30
MAX_TOKEN: Final = 8192
_TYPES = ("at+jwt", "application/at+jwt")
_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id")  # RFC 9068 section 2.2


class Unauthorized(Exception):
    """The token is not accepted; the text may be told to the caller (RFC 6750 section 3.1, `error_description`)."""


_PROVEN = 256
"""Tokens that are known again."""


class Unavailable(Exception):
    """Whether the token is good cannot be told, or none can be had: identity does not answer."""


@dataclass(frozen=True)
class Caller:
    """Who calls, as the token says."""

    subject: str
    tenant: str | None
    roles: frozenset[str]
    client_id: str
    scopes: frozenset[str]
    name: str | None = None


def thumbprint(certificate: bytes) -> str:
    """`x5t#S256` of a certificate in DER (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


class KeyCache:
    """The issuer's public keys; fetched at first use, when they are old, and when a token names a key that is
    not among them.
    """

    def __init__(self, url: str, context: ssl.SSLContext, max_age: float = 300, pause: float = 5) -> None:
        self._url = url
        self._client = http.client(context, deadline=5)
        self._max_age = max_age
        self._pause = pause
        self._keys: dict[str, ECKey] = {}
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> ECKey | None:
        """The key called `kid`, or None.

        Unknown names cause a fetch at most every `pause` seconds, so that a flood of forged tokens does not become one
        of fetches.

        Raises:
            Unavailable: there are no keys at all and the issuer gives none.
        """
        if kid not in self._keys or time.monotonic() - self._fetched > self._max_age:
            async with self._lock:
                now = time.monotonic()
                stale = kid not in self._keys or now - self._fetched > self._max_age
                # Without any key there is nothing to protect but the issuer: ask a little more often while it starts.
                if stale and now - self._tried >= (self._pause if self._keys else min(self._pause, 0.5)):
                    await self._fetch()
        if not self._keys:
            raise Unavailable(f"no keys from {self._url} yet")
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        self._tried = time.monotonic()
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            self._keys = _signature_keys(response.json())
            self._fetched = time.monotonic()
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
            # Keys at hand stay in use: an issuer that restarts must not stop the stack.
            log.warning("cannot fetch %s: %s", self._url, error or type(error).__name__)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _signature_keys(document: dict[str, Any]) -> dict[str, ECKey]:
    """Those keys of a JWK set (RFC 7517) that can verify ES256."""
    keys = {}
    for entry in document["keys"]:
        usable = entry.get("kty") == "EC" and entry.get("crv") == "P-256" and entry.get("use", "sig") == "sig"
        if usable and entry.get("alg", "ES256") == "ES256" and isinstance(entry.get("kid"), str):
            keys[entry["kid"]] = ECKey.import_key(entry)
    return keys


class Verifier:
    """Checks access tokens of one issuer."""

    def __init__(self, issuer: str, jwks_url: str, context: ssl.SSLContext, audience: str = AUDIENCE) -> None:
        self._issuer = issuer
        self._audience = audience
        #: Tokens whose signature was found good, with the key that it was good with, and what they say.
        self._proven: dict[str, tuple[ECKey, dict[str, Any]]] = {}
        self.keys = KeyCache(jwks_url, context)

    async def verify(self, token: str, peer_certificate: bytes | None = None) -> Caller:
        """Who calls with `token` over a connection with this client certificate (DER, or None).

        Raises:
            Unauthorized: the token is malformed, of another issuer or audience, expired, or bound to another
                certificate.
            Unavailable: the keys of the issuer are not to be had.
        """
        if len(token) > MAX_TOKEN:
            raise Unauthorized("the token is too long")
        key = await self.keys.get(_key_name(token))
        if key is None:
            raise Unauthorized("the token is signed with a key that the issuer does not have")
        claims = self._signed(token, key)
        self._check(claims)
        _check_binding(claims.get("cnf"), peer_certificate)
        return _caller(claims)

    def _signed(self, token: str, key: ECKey) -> dict[str, Any]:
        """What a token says that is signed with the key: a client shows one for as long as it lasts."""
        known = self._proven.get(token)
        if known is not None and known[0] is key:
            return known[1]
        try:
            # RFC 7519, section 7.2, without encryption, which would cost every component's start a tenth of a second.
            claims = json.loads(jws.deserialize_compact(token, KeySet([key]), algorithms=["ES256"]).payload)
        except (JoseError, ValueError) as error:
            raise Unauthorized("the token's signature is not valid") from error
        if not isinstance(claims, dict):
            raise Unauthorized("the token holds no claims")
        while len(self._proven) >= _PROVEN:
            del self._proven[next(iter(self._proven))]
        self._proven[token] = key, claims
        return claims

    def _check(self, claims: dict[str, Any]) -> None:
        """Claims of RFC 9068 section 4."""
        missing = [name for name in _REQUIRED if name not in claims]
        if missing:
            raise Unauthorized(f"the token has no {', '.join(missing)}")
        if claims["iss"] != self._issuer:
            raise Unauthorized("the token is of another issuer")
        audience = claims["aud"]
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthorized("the token is for another audience")
        now = time.time()
        if _moment(claims, "exp") + LEEWAY_SECONDS <= now:
            raise Unauthorized("the token has expired")
        if max(_moment(claims, "iat"), _moment(claims, "nbf") if "nbf" in claims else 0) - LEEWAY_SECONDS > now:
            raise Unauthorized("the token is not valid yet")

    async def aclose(self) -> None:
        """Close the connections."""
        await self.keys.aclose()


def _key_name(token: str) -> str:
    """`kid` of a token whose header is as it must be; nothing else is believed before the signature is."""
    header = _header(token)
    if header.get("alg") != "ES256":
        raise Unauthorized("the token is not signed with ES256")
    if str(header.get("typ", "")).lower() not in _TYPES:
        raise Unauthorized("the token is not an access token (typ at+jwt)")
    if "crit" in header:
        raise Unauthorized("the token demands an extension that is not understood")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise Unauthorized("the token names no key")
    return kid


def _header(token: str) -> dict[str, Any]:
    """The header of a JWS in compact serialization (RFC 7515 section 7.1), not checked yet."""
    first, *others = token.split(".")
    try:
        header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):  # binascii.Error and UnicodeDecodeError are ValueErrors
        header = None
    if len(others) != 2 or not isinstance(header, dict):
        raise Unauthorized("the token is malformed")
    return header


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized(f"{name} of the token is not a number")
    return float(value)


def _check_binding(confirmation: object, peer_certificate: bytes | None) -> None:
    """RFC 8705 section 3: a bound token is good with its certificate only; a binding that we cannot check is
    none that holds.
    """
    if confirmation is None:
        return
    expected = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
    if not isinstance(expected, str):
        raise Unauthorized("the token is bound in a way that is not understood")
    if peer_certificate is None or not hmac.compare_digest(expected.encode(), thumbprint(peer_certificate).encode()):
        raise Unauthorized("the token is bound to another certificate")


def _caller(claims: dict[str, Any]) -> Caller:
    roles, scope, tenant, name = (
        claims.get("roles", []),
        claims.get("scope", ""),
        claims.get("tenant"),
        claims.get("name"),
    )
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles) or not isinstance(scope, str):
        raise Unauthorized("roles or scope of the token are malformed")
    if (
        not isinstance(claims["sub"], str)
        or not isinstance(claims["client_id"], str)
        or not isinstance(tenant, str | None)
    ):
        raise Unauthorized("sub, client_id or tenant of the token are malformed")
    return Caller(
        claims["sub"],
        tenant,
        frozenset(roles),
        claims["client_id"],
        frozenset(scope.split()),
        name if isinstance(name, str) else None,
    )


class Session(httpx.Auth):
    """Our own access token: client credentials, proven by our certificate; renewed before it ends, and once if it is
    refused.

    Give it as `auth` to `http.client`. `context` carries the component's certificate (`tls.client_context(ca, cert,
    key)`).
    """

    def __init__(self, identity_url: str, client_id: str, context: ssl.SSLContext, scope: str | None = None) -> None:
        self._url = identity_url.rstrip("/") + "/oauth2/token"
        self._form = {"grant_type": "client_credentials", "client_id": client_id} | ({"scope": scope} if scope else {})
        self._client = http.client(context)
        self._token: str | None = None
        self._renew_at = float("-inf")
        self._lock = asyncio.Lock()

    async def token(self, refused: str | None = None) -> str:
        """A token that holds for a while yet; never the one that was `refused`.

        Raises:
            Unavailable: identity does not answer, or gives none (its reason is in the text).
        """
        async with self._lock:
            if self._token is None or self._token == refused or time.monotonic() >= self._renew_at:
                await self._get()
            assert self._token is not None
            return self._token

    async def _get(self) -> None:
        try:
            response = await self._client.post(self._url, data=self._form, headers={"accept": "application/json"})
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._url}: {error or type(error).__name__}") from error
        if response.status_code != 200:
            raise Unavailable(
                f"{self._url} refuses {self._form['client_id']}: {response.status_code} {_reason(response)}"
            )
        try:
            grant = response.json()
            lifetime = float(grant.get("expires_in", 60))
            self._token = str(grant["access_token"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable(f"{self._url}: the answer has no access token") from None
        # A fifth of its life is left for a request on the way and for clocks that differ.
        self._renew_at = time.monotonic() + lifetime * 0.8

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the token; on 401 get a new one and ask once more."""
        token = await self.token()
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401 and isinstance(request.stream, httpx.ByteStream):
            request.headers["authorization"] = f"Bearer {await self.token(refused=token)}"
            yield request

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _reason(response: httpx.Response) -> str:
    """What RFC 6749 section 5.2 (or a problem) says of an error, shortened."""
    try:
        body = response.json()
        return str(body.get("error_description") or body.get("detail") or body.get("error"))[:200]
    except (ValueError, AttributeError):
        return response.reason_phrase

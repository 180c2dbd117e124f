"""The endpoints that programs call: token, revocation, introspection, userinfo, keys, metadata."""

from __future__ import annotations

from typing import Annotated, Any

from authlib.oauth2.rfc6749 import OAuth2Error
from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from identity.tokens import Tokens, is_bound_to

from .messages import Incoming, ascii_only, incoming
from .metadata import metadata
from .server import Server

Received = Annotated[Incoming, Depends(incoming)]
_KEYS_AGE = "public, max-age=300"


def router(server: Server, tokens: Tokens) -> APIRouter:
    routes = APIRouter()
    document = metadata(tokens.issuer)

    @routes.get("/.well-known/openid-configuration")
    @routes.get("/.well-known/oauth-authorization-server")
    def discovery() -> Response:
        return JSONResponse(document, headers={"Cache-Control": _KEYS_AGE})

    @routes.get("/oauth2/jwks")
    def jwks() -> Response:
        return JSONResponse(
            tokens.keys.public(), media_type="application/jwk-set+json", headers={"Cache-Control": _KEYS_AGE}
        )

    @routes.post("/oauth2/token")
    def token(received: Received) -> Response:
        return _answer(server.create_token_response(received))

    @routes.post("/oauth2/revoke")
    def revoke(received: Received) -> Response:
        return _answer(server.create_endpoint_response("revocation", received))

    @routes.post("/oauth2/introspect")
    def introspect(received: Received) -> Response:
        return _answer(server.create_endpoint_response("introspection", received))

    @routes.get("/oauth2/userinfo")
    @routes.post("/oauth2/userinfo")
    def userinfo(received: Received) -> Response:
        return _userinfo(tokens, received)

    return routes


def _answer(response: Any) -> Response:
    assert isinstance(response, Response)
    return response


def _userinfo(tokens: Tokens, received: Incoming) -> Response:
    """OpenID Connect Core section 5.3; errors by RFC 6750 section 3.1."""
    kind, _, token = received.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        return bearer_error(401, None, "an access token is needed")
    claims = tokens.judge(token.strip())
    if claims is None or not is_bound_to(claims, received.certificate):
        return bearer_error(
            401, "invalid_token", "the token is not valid, or no longer, or bound to another certificate"
        )
    user = tokens.person(claims["sub"]) if "openid" in claims["scope"].split() else None
    if user is None:
        return bearer_error(403, "insufficient_scope", "the token has no scope openid")
    return JSONResponse(tokens.about(user), headers={"Cache-Control": "no-store"})


def bearer_error(status: int, code: str | None, text: str) -> Response:
    challenge = 'Bearer realm="elasticlab"'
    body = {"error_description": text}
    if code:
        challenge += f', error="{code}", error_description="{text}"'
        body["error"] = code
    return JSONResponse(body, status, headers={"WWW-Authenticate": challenge, "Cache-Control": "no-store"})


def oauth_error(error: OAuth2Error | Exception) -> Response:
    """An error found before Authlib was asked (RFC 6749 section 5.2)."""
    body = {"error": "invalid_request", "error_description": ascii_only(str(error))}
    return JSONResponse(body, 400, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

"""The authorization server: Authlib's, on our store."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidGrantError
from starlette.responses import JSONResponse, RedirectResponse, Response

from identity.attempts import Attempts
from identity.credentials import new_token
from identity.directory import Directory
from identity.grants import Code, Grants, Refresh
from identity.tokens import ACCESS_LIFE, SCOPES, Person, Tokens

from .clients import CERTIFICATE, SECRET, Authentication, Client
from .endpoints import Introspection, Revocation
from .grant_types import AuthorizationCode, ClientCredentials, RefreshToken, S256Only
from .messages import Incoming, Message


class Server(AuthorizationServer):  # type: ignore[misc]
    """Grants and endpoints of OAuth; requests come as `Incoming`, answers are Starlette's."""

    def __init__(self, directory: Directory, grants: Grants, tokens: Tokens, attempts: Attempts) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.grants = grants
        self.tokens = tokens
        self._authentication = Authentication(directory, attempts)
        self.register_client_auth_method(SECRET, self._authentication.by_secret)
        self.register_client_auth_method(CERTIFICATE, self._authentication.by_certificate)
        self.register_grant(AuthorizationCode, [S256Only(required=True)])
        self.register_grant(RefreshToken)
        self.register_grant(ClientCredentials)
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)
        self.register_token_generator("default", self._generate)

    def query_client(self, client_id: str | None) -> Client | None:
        return self._authentication.query(client_id)

    def person_of(self, granted: Code | Refresh) -> Person | None:
        user = self.tokens.person(granted.user_id)
        return None if user is None else Person(user, granted.grant_id, granted.auth_time)

    def _generate(
        self, grant_type: str, client: Client, user: Person | None = None, scope: str | None = None,
        expires_in: int | None = None, include_refresh_token: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        # A person's token is used by the portal on the person's behalf towards others that see the same certificate,
        # so it is bound like the portal's own.
        scope = client.get_allowed_scope(scope)
        token: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": self.tokens.access(client.program, user, scope, client.thumbprint),
            "expires_in": ACCESS_LIFE,
            "scope": scope,
        }
        if include_refresh_token:
            token["refresh_token"] = new_token()
        return token

    def save_token(self, token: dict[str, Any], request: Message) -> None:
        """Durable before it is acknowledged. Access tokens are not stored: they end by themselves or by their grant."""
        used: Code | Refresh | None = request.authorization_code or request.refresh_token
        if used is None:
            return
        if not self.grants.redeem(used, token.get("refresh_token"), token["scope"]):
            # Two at once, or revoked since it was read: one of them is not who it says it is.
            self.grants.revoke(used.grant_id)
            raise InvalidGrantError("it was used already")
        if "openid" in token["scope"].split():
            nonce = used.nonce if isinstance(used, Code) else None
            token["id_token"] = self.tokens.identity(request.client.program, request.user, token["access_token"], nonce)

    def create_oauth2_request(self, request: Incoming | Message) -> Message:
        return request if isinstance(request, Message) else Message(request)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        fields = dict(headers)
        if location := fields.pop("Location", None):
            response: Response = RedirectResponse(location, 303)
        else:
            response = JSONResponse(dict(body) if body else {}, status)
        for name, value in fields.items():
            if name.lower() not in {"content-type", "content-length"}:
                response.headers[name] = value
        # RFC 6749 section 5.1
        response.headers["Cache-Control"] = "no-store"
        response.headers["Pragma"] = "no-cache"
        if status == 401 and "WWW-Authenticate" not in response.headers:
            response.headers["WWW-Authenticate"] = 'Basic realm="elasticlab"'
        return response

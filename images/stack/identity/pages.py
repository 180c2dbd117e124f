"""What people see: authorization (RFC 6749 section 3.1), log-in, log-out (OpenID Connect RP-Initiated Logout)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import OAuth2Error
from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from .attempts import Attempts, of_person
from .credentials import check_password
from .directory import Directory
from .forms import (
    FORM_COOKIE,
    SESSION_COOKIE,
    drop_cookie,
    form_token,
    harden,
    is_own_form,
    page,
    set_cookie,
)  # fmt: skip
from .grants import BrowserSession, Sessions
from .oauth.messages import Incoming, Message, incoming
from .oauth.server import Server
from .records import Program, User, fold
from .schema import now
from .tokens import Person

Received = Annotated[Incoming, Depends(incoming)]
_WRONG = "User name or password is wrong."


class Pages:
    def __init__(self, server: Server, directory: Directory, sessions: Sessions, attempts: Attempts) -> None:
        self._server = server
        self._directory = directory
        self._sessions = sessions
        self._attempts = attempts
        self._issuer = server.tokens.issuer

    def router(self) -> APIRouter:
        routes = APIRouter()

        @routes.get("/oauth2/authorize")
        @routes.post("/oauth2/authorize")
        def authorize(received: Received) -> Response:
            return self._authorize(received)

        @routes.post("/login")
        def login(received: Received) -> Response:
            return self._login(received)

        @routes.get("/oauth2/logout")
        @routes.post("/oauth2/logout")
        def logout(received: Received) -> Response:
            return self._logout(received)

        return routes

    def _session(self, received: Incoming) -> tuple[BrowserSession, User] | None:
        session = self._sessions.get(received.cookies.get(SESSION_COOKIE))
        user = self._server.tokens.person(session.user_id) if session else None
        return (session, user) if session and user else None

    def _authorize(self, received: Incoming) -> Response:
        message = Message(received)
        known = self._session(received)
        if known and _wants_fresh_login(message, known[0]):
            known = None
        person = Person(known[1], known[0].hash, known[0].created) if known else None
        try:
            grant = self._server.get_consent_grant(message, end_user=person)
        except OAuth2Error as error:
            return self._refused(message, error)
        except ValueError:
            return page("page.html", 400, title="This request cannot be served", text="A parameter is not well-formed.")
        if person is None:
            if "none" in (message.payload.data.get("prompt") or "").split():
                return self._back(message, grant.redirect_uri, {"error": "login_required"})
            return self._form(received, urlencode(message.payload.data), grant.redirect_uri)
        response: Response = self._server.create_authorization_response(message, grant_user=person, grant=grant)
        # RFC 9207: whose answer this is
        response.headers["Location"] = add_params_to_uri(response.headers["Location"], [("iss", self._issuer)])
        harden(response)
        return response

    def _refused(self, message: Message, error: Any) -> Response:
        """Back to the client only if the redirect URI is its own (RFC 6749 section 4.1.2.1); never to a stranger's."""
        if error.redirect_uri:
            return self._back(message, error.redirect_uri, {key: str(text) for key, text in error.get_body() if text})
        text = str(error.description or error.error)
        return page("page.html", 400, title="This request cannot be served", text=f"{text} (error {error.error})")

    def _back(self, message: Message, redirect_uri: str, values: dict[str, str]) -> Response:
        if message.payload.state:
            values["state"] = message.payload.state
        values["iss"] = self._issuer
        response = RedirectResponse(add_params_to_uri(redirect_uri, list(values.items())), 303)
        harden(response)
        return response

    def _form(
        self,
        received: Incoming,
        request: str,
        target: str | None,
        status: int = 200,
        text: str = "",
        username: str = "",
    ) -> Response:
        cookie, field = form_token(received)
        response = page(
            "login.html", status, target, title="Log in", csrf=field, request=request, text=text, username=username
        )
        set_cookie(response, FORM_COOKIE, cookie, "strict")
        return response

    def _login(self, received: Incoming) -> Response:
        request = (received.form.get("request") or [""])[0]
        if not is_own_form(received):
            return self._form(received, request, None, 403, "The form was too old or not ours. Please try again.")
        username, password = (received.form.get(name, [""])[0] for name in ("username", "password"))
        target = self._target(request)
        with self._attempts.trying(of_person(fold(username)[:255], received.address)) as attempt:
            if attempt.wait:
                return self._too_many(received, request, target, attempt.wait, username)
            user = self._directory.find(User, "folded_name", fold(username)) if len(username) <= 255 else None
            right = check_password(user.password if user else None, password)
            if user is None or not right or not user.active:
                return self._form(received, request, target, 401, _WRONG, username)
            attempt.right = True
        # A new session at each log-in: whoever planted a cookie before learns nothing (session fixation).
        token = self._sessions.open(user.id)
        response = RedirectResponse(f"/oauth2/authorize?{_after_login(request)}", 303)
        set_cookie(response, SESSION_COOKIE, token, "lax")
        drop_cookie(response, FORM_COOKIE)
        harden(response)
        return response

    def _too_many(self, received: Incoming, request: str, target: str | None, wait: int, username: str) -> Response:
        """RFC 6585, section 4."""
        response = self._form(received, request, target, 429, f"Too many tries. Wait {wait} s.", username)
        response.headers["Retry-After"] = str(wait)
        return response

    def _target(self, request: str) -> str | None:
        """The redirect URI behind a log-in form, if it is registered."""
        values = _parameters(request)
        client = self._server.query_client(values.get("client_id"))
        uri = values.get("redirect_uri")
        return uri if client and uri and client.check_redirect_uri(uri) else None

    def _logout(self, received: Incoming) -> Response:
        known = self._session(received)
        hint = self._server.tokens.keys.read(received.value("id_token_hint") or "", "JWT")
        if hint is not None and hint.get("iss") != self._issuer:
            hint = None
        target, asked = self._after_logout(received, hint), received.value("post_logout_redirect_uri")
        if asked and target is None:
            text = "The address to return to is not registered for this program."
            return page("page.html", 400, title="This request cannot be served", text=text)
        hinted = hint is not None and (known is None or hint.get("sub") == known[1].id)
        if known and not hinted and not (received.method == "POST" and is_own_form(received)):
            # Anybody's link could log a person out: ask (RP-Initiated Logout section 2).
            cookie, field = form_token(received)
            response = page("logout.html", 200, target, title="Log out", csrf=field)
            set_cookie(response, FORM_COOKIE, cookie, "strict")
            return response
        if known:
            self._sessions.close(known[0])
        if hint is not None and hinted:
            self._server.grants.revoke(str(hint.get("sid")))
        state = [("state", received.value("state"))] if received.value("state") else []
        response = (
            RedirectResponse(add_params_to_uri(target, state), 303)
            if target
            else page("page.html", 200, title="Logged out", text="You are logged out.")
        )
        drop_cookie(response, SESSION_COOKIE)
        harden(response)
        return response

    def _after_logout(self, received: Incoming, hint: dict[str, Any] | None) -> str | None:
        asked = received.value("post_logout_redirect_uri")
        client_id = received.value("client_id")
        if hint is not None:
            if client_id not in {None, hint.get("aud")}:
                return None
            client_id = str(hint.get("aud"))
        program = self._directory.find(Program, "client_id", client_id) if client_id else None
        return asked if program and asked in program.post_logout_uris else None


def _parameters(request: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(request, max_num_fields=64))
    except ValueError:
        return {}


def _after_login(request: str) -> str:
    """The same authorization request, without what asked for the log-in that has just been done."""
    return urlencode({key: value for key, value in _parameters(request).items() if key not in {"prompt", "max_age"}})


def _wants_fresh_login(message: Message, session: BrowserSession) -> bool:
    """OpenID Connect Core section 3.1.2.1: prompt=login, max_age."""
    data = message.payload.data
    if "login" in (data.get("prompt") or "").split():
        return True
    age = data.get("max_age") or ""
    return age.isdecimal() and now() - session.created > int(age[:12])

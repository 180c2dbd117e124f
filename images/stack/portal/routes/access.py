"""Coming in and going out: OpenID Connect's code flow, the first page, log-out."""

from __future__ import annotations

import hmac
import logging

from fastapi import APIRouter
from stackkit.tokens import Unavailable
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portal import pages, secrecy
from portal.failures import Failure, LoginNeeded
from portal.keeper import LOGIN_COOKIE, SESSION_COOKIE, drop_cookie, set_cookie
from portal.provider import RefusedError
from portal.sessions import LOGIN_SECONDS, Login

from .shared import Desk, go

log = logging.getLogger(__name__)

_AGAIN = "Log in once more."


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()
    keeper = desk.keeper

    @routes.get("/")
    async def first(request: Request) -> Response:
        """Whoever is logged in goes on; whoever has just logged out must not be logged in again at once."""
        try:
            await keeper.viewer(request)
        except LoginNeeded:
            response = pages.page("welcome.html", None)
            drop_cookie(response, SESSION_COOKIE)
            return response
        return go("/catalogue")

    @routes.get("/login")
    async def login(request: Request) -> Response:
        """An authorization request of this browser (RFC 9700 section 2.1: state, nonce and PKCE, each good once)."""
        browser = request.cookies.get(LOGIN_COOKIE) or secrecy.new_secret()
        state, login = secrecy.new_secret(), Login(secrecy.new_secret(), secrecy.new_secret(), _place(request))
        keeper.sessions.begin_login(browser, state, login)
        target = keeper.provider.authorization(state, login.nonce, secrecy.s256(login.verifier))
        response = RedirectResponse(target, 303)
        set_cookie(response, LOGIN_COOKIE, browser, LOGIN_SECONDS)
        return response

    @routes.get("/callback")
    async def callback(request: Request) -> Response:
        return await _callback(desk, request)

    @routes.post("/logout")
    async def logout(request: Request) -> Response:
        try:
            session, _ = await keeper.poster(request)
        except LoginNeeded:
            return go("/")
        response = RedirectResponse(await keeper.end(session), 303)
        drop_cookie(response, SESSION_COOKIE)
        return response

    return routes


async def _callback(desk: Desk, request: Request) -> Response:
    """The answer to an authorization request (RFC 6749 section 4.1.2, RFC 9207 section 2.4)."""
    query, keeper = request.query_params, desk.keeper
    browser = request.cookies.get(LOGIN_COOKIE)
    login = keeper.sessions.take_login(browser, query.get("state", "")) if browser else None
    if login is None:
        text = "This answer belongs to no log-in that was begun in this browser, or to one that is over."
        raise Failure(400, "Log-in not completed", text, _AGAIN)
    if not hmac.compare_digest(query.get("iss", "").encode(), keeper.provider.issuer.encode()):
        raise Failure(400, "Log-in not completed", "The answer is not from the identity of this portal.", _AGAIN)
    if "code" not in query:
        text = f"Identity says: {query.get('error_description') or query.get('error') or 'nothing'}"
        raise Failure(400, "Log-in not completed", text[:300], _AGAIN)
    try:
        person, tokens = await keeper.provider.redeem(query["code"], login.verifier, login.nonce)
    except RefusedError as error:
        raise Failure(400, "Log-in not completed", "Identity's answer is not good.", _AGAIN, cause=error) from None
    except Unavailable as error:
        text = "Identity does not answer."
        raise Failure(503, "Not possible at this moment", text, "Log in again in a moment.", cause=error) from None
    before = keeper.sessions.get(request.cookies.get(SESSION_COOKIE), use=False)
    if before is not None:
        keeper.sessions.close(before)
    session = keeper.sessions.open(person, tokens)
    log.info("%s logged in", person.user_name)
    response = RedirectResponse(login.target, 303)
    set_cookie(response, SESSION_COOKIE, session.secret)
    drop_cookie(response, LOGIN_COOKIE)
    return response


def _place(request: Request) -> str:
    """Where to go after the log-in: a path of ours, never another site's address."""
    asked = request.query_params.get("next", "/")
    plain = asked.startswith("/") and not asked.startswith("//") and "\\" not in asked and asked.isprintable()
    return asked if plain and len(asked) <= 500 else "/"

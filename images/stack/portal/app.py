"""The application put together: store, identity, GRO, and the pages."""

from __future__ import annotations

import contextlib
import logging
from typing import Self
from urllib.parse import urlencode

from fastapi import FastAPI
from sqlalchemy import text as sql
from stackkit import http, tls
from stackkit.database import Database
from stackkit.tokens import KeyCache
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from . import pages
from .desk import Service
from .failures import Failure, LoginNeeded, Refused
from .keeper import SESSION_COOKIE, Keeper
from .plans import Plans
from .provider import Provider
from .routes import access, catalogue, network, orders, plans, services, sites
from .routes.shared import Desk
from .schema import MIGRATIONS
from .sessions import Session, Sessions
from .settings import Settings

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 10.0
"""So long does a person wait for a component that is away, until a page says so."""


class Portal(contextlib.AsyncExitStack):
    """Everything but the listeners: enter it, then serve `app`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.app = FastAPI(title="portal", docs_url=None, redoc_url=None, openapi_url=None)

    async def __aenter__(self) -> Self:
        chosen = self._settings
        chosen.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.database = Database(chosen.data / "portal.sqlite", MIGRATIONS)
        self.callback(self.database.close)
        context = tls.client_context(chosen.service_ca, chosen.certificate, chosen.key)
        client = await self.enter_async_context(http.client(context, deadline=DEADLINE_SECONDS))
        keys = KeyCache(f"{chosen.identity_url}/oauth2/jwks", context)
        self.push_async_callback(keys.aclose)
        provider = Provider(chosen.issuer, chosen.identity_url, chosen.public_url, client, keys)
        self.sessions = Sessions(self.database, chosen.idle_seconds, chosen.absolute_seconds)
        self.app.state.provider = provider
        gro = Service(client, chosen.gro_url, "The order desk (GRO)")
        desk = Desk(
            keeper=Keeper(self.sessions, provider, chosen.public_url),
            gro=gro,
            identity=Service(client, chosen.identity_url, "Identity"),
            manager=Service(client, chosen.manager_url, "The registry of devices (manager)"),
            controller=Service(client, chosen.controller_url, "The network's controller"),
            plans=Plans(self.database, gro),
        )
        self._build(desk)
        return self

    def _build(self, desk: Desk) -> None:
        for part in (access, catalogue, plans, orders, services, sites, network):
            self.app.include_router(part.router(desk))
        self.app.mount("/static", StaticFiles(directory=pages.STATIC))
        self.app.add_middleware(pages.Headers, issuer=self._settings.issuer)
        self.app.add_exception_handler(LoginNeeded, _on_login_needed)
        for kind in (Failure, Refused, HTTPException, Exception):
            self.app.add_exception_handler(kind, self._on_error)

        @self.app.get("/health")
        def health() -> dict[str, str]:
            with self.database.read() as connection:
                connection.execute(sql("SELECT 1"))
            return {"status": "up"}

    async def _on_error(self, request: Request, error: Exception) -> Response:
        status, title, text, remedy = _told(error)
        session: Session | None = None
        with contextlib.suppress(Exception):  # the page that tells of an error must not fail for another one
            session = self.sessions.get(request.cookies.get(SESSION_COOKIE), use=False)
        if status >= 500:
            log.warning("%s %s: %s", request.method, request.url.path, error)
        response = pages.page("error.html", session, status, title=title, text=text, remedy=remedy)
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        return response


def _told(error: Exception) -> tuple[int, str, str, str]:
    """Status, title, text and remedy of an error's page."""
    if isinstance(error, Failure):
        return error.status, error.title, error.text, error.remedy
    if isinstance(error, Refused):
        if error.status == 404:
            return 404, "Not found", "There is nothing at this address for you.", "Choose from the menu above."
        if error.status == 403:
            text = "Your account does not have the rights that this takes."
            return 403, "Not for your account", text, "Choose from the menu above, or ask the operator."
        status = error.status if error.status in (400, 409, 422, 503) else 502
        return status, error.title, error.text, "Go back and change what the text names, or try again later."
    if isinstance(error, HTTPException) and error.status_code < 500:
        title = "Not found" if error.status_code == 404 else str(error.detail)
        return error.status_code, title, "There is nothing at this address for you.", "Choose from the menu above."
    text = "The portal failed. Nothing was ordered that the list of orders does not show."
    return 500, "This went wrong", text, "Try again; if it happens again, tell the operator the time."


async def _on_login_needed(request: Request, _error: Exception) -> Response:
    """Reading goes on after the log-in; what was sent must be sent again."""
    place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = "/login?" + urlencode({"next": place if request.method == "GET" else "/"})
    if "hx-request" in request.headers:
        here = request.headers.get("hx-current-url", "")
        at = here.removeprefix(f"{request.base_url}".rstrip("/"))
        login = "/login?" + urlencode({"next": at if at.startswith("/") else "/"})
        return HTMLResponse("", 401, {"HX-Redirect": login})
    if request.method == "GET":
        return RedirectResponse(login, 303)
    text = "Your session has ended, and what you sent was not carried out."
    return pages.page(
        "error.html", None, 401, title="Please log in again", text=text, remedy="Log in, then repeat what you wanted."
    )

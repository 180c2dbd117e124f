"""The application: store, keys, issuer, pages and SCIM put together."""

from __future__ import annotations

from fastapi import FastAPI
from stackkit import problems
from stackkit.database import Database
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from .attempts import Attempts
from .directory import Directory
from .forms import HERE, page
from .founding import found
from .grants import Grants, Sessions
from .keys import Keys
from .oauth.messages import BadRequest
from .oauth.routes import oauth_error, router
from .oauth.server import Server
from .pages import Pages
from .schema import MIGRATIONS
from .scim.routes import Scim
from .settings import Settings
from .tokens import Tokens

_PAGES = ("/oauth2/authorize", "/oauth2/logout", "/login")


def build(settings: Settings) -> FastAPI:
    """Everything that the settings describe; the database is opened, brought up to date and founded."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.data / "identity.sqlite", MIGRATIONS)
    directory, grants, sessions = Directory(database), Grants(database), Sessions(database)
    found(database, directory, settings)
    tokens = Tokens(Keys(settings.data / "keys"), directory, grants, settings.issuer)
    attempts = Attempts(database)
    server = Server(directory, grants, tokens, attempts)

    app = FastAPI(title="identity", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router(server, tokens))
    app.include_router(Pages(server, directory, sessions, attempts).router())
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    scim = Scim(directory, tokens)
    app.include_router(scim.router())
    app.add_exception_handler(BadRequest, _on_bad_request)
    app.add_middleware(scim.middleware)
    problems.install(app)
    app.state.database, app.state.keys = database, tokens.keys

    @app.get("/health")
    def health() -> dict[str, str]:
        with database.read():
            return {"status": "up"}

    return app


async def _on_bad_request(request: Request, error: Exception) -> Response:
    if request.url.path in _PAGES:
        return page("page.html", 400, title="This request cannot be served", text=str(error))
    return oauth_error(error)

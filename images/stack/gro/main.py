"""The component, until SIGTERM."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from stackkit import http, logs, server, settings, tls, tokens, web
from stackkit.database import Database

from gro import catalogue, store
from gro.api import create_app
from gro.desk import Desk
from gro.restconf import Controller, Manager, Restconf
from gro.work import at_work


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Common):
    """`domain`: the operator's; `offers`: folder of the catalogue; `internal_callbacks`: whether listeners may be on
    loopback or link-local."""

    domain: str
    offers: Path = Path("/opt/elasticlab/models/offers")
    internal_callbacks: bool = False


@contextlib.asynccontextmanager
async def running(config: Settings) -> AsyncIterator[Desk]:
    """Everything but the listeners, as the settings say."""
    context = tls.client_context(config.service_ca, config.certificate, config.key)
    offers = catalogue.load(config.offers)
    async with contextlib.AsyncExitStack() as stack:
        session = tokens.Session(config.identity_url, "gro", context)
        stack.push_async_callback(session.aclose)
        database = Database(config.data / "gro.sqlite", store.MIGRATIONS)
        stack.callback(database.close)
        client = await stack.enter_async_context(http.client(context, session))
        outside = await stack.enter_async_context(http.client(tls.client_context(config.service_ca)))
        controller = Controller(Restconf(client, config.controller_url, "controller"))
        manager = Manager(Restconf(client, config.manager_url, "manager"))
        yield await stack.enter_async_context(
            at_work(
                database, offers, controller, manager, outside, domain=config.domain,
                internal_callbacks=config.internal_callbacks,
            )
        )  # fmt: skip


async def main() -> None:
    config = settings.load(Settings, "gro")
    logs.setup("gro", config.log_level)
    trust = tls.client_context(config.service_ca)
    verifier = tokens.Verifier(config.issuer, f"{config.identity_url}/oauth2/jwks", trust)
    context = tls.server_context(config.certificate, config.key, config.service_ca)
    async with running(config) as desk, contextlib.aclosing(verifier):
        app = create_app(desk, web.caller(verifier, "admin", "tenant"))
        await server.serve(app, [server.Listener(host, config.port, context) for host in config.listen])


def run() -> None:
    """``python -m gro``."""
    asyncio.run(main())

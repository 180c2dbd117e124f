"""`python -m gro`: the component, until SIGTERM."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from stackkit import durable, http, logs, server, settings, tls, tokens, web
from stackkit.database import Database

from gro import catalogue, hub, store
from gro.api import Desk, create_app
from gro.fulfilment import KIND, Fulfilment, observe
from gro.restconf import Controller, Manager, Restconf


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Common):
    """`offers`: folder of the catalogue; `internal_callbacks`: whether listeners may be on loopback or link-local."""

    offers: Path = Path("/opt/elasticlab/models/offers")
    internal_callbacks: bool = False


@contextlib.asynccontextmanager
async def running(config: Settings) -> AsyncIterator[Desk]:
    """Everything but the listeners; sagas of a former process go on."""
    context = tls.client_context(config.service_ca, config.certificate, config.key)
    session = tokens.Session(config.identity_url, "gro", context)
    database = Database(config.data / "gro.sqlite", store.MIGRATIONS)
    async with http.client(context, session) as client, http.client(tls.client_context(config.service_ca)) as outside:
        controller = Controller(Restconf(client, config.controller_url, "controller"))
        manager = Manager(Restconf(client, config.manager_url, "manager"))
        fulfilment = Fulfilment(database, controller, manager)
        engine = durable.Engine(database, {KIND: fulfilment.steps}, [observe])
        courier = hub.Courier(database, outside, allow_internal=config.internal_callbacks)
        delivering = asyncio.create_task(courier.run(), name="courier")
        await engine.start()
        try:
            offers = catalogue.load(config.offers)
            yield Desk(database, offers, engine, controller, manager, courier, config.internal_callbacks)
        finally:
            await engine.stop()
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering
            database.close()


async def main() -> None:
    config = settings.load(Settings, "gro")
    logs.setup("gro", config.log_level)
    trust = tls.client_context(config.service_ca)
    verifier = tokens.Verifier(config.issuer, f"{config.identity_url}/oauth2/jwks", trust)
    context = tls.server_context(config.certificate, config.key, config.service_ca)
    async with running(config) as desk:
        app = create_app(desk, web.caller(verifier, "admin", "tenant"))
        await server.serve(app, [server.Listener(host, config.port, context) for host in config.listen])


if __name__ == "__main__":
    asyncio.run(main())

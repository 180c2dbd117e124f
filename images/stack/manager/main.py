"""The process: north and wan listeners on one registry, one authority, one database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from stackkit import logs, server, settings, tls, tokens
from stackkit.database import Database
from stackkit.restconf import Verify
from starlette.types import ASGIApp

from manager import expiry, north
from manager.alarms import Alarms
from manager.authority import Authority, AuthorityError
from manager.enrolment import Enrolment
from manager.limits import RateLimit
from manager.registry import Registry
from manager.settings import Settings
from manager.store import MIGRATIONS
from manager.strangers import Strangers
from manager.wan import Wan

log = logging.getLogger(__name__)
CRL_CHECK_SECONDS = 600.0
PER_PEER = 64


async def run(
    configuration: Settings,
    verify: Verify,
    ready: Callable[[server.Server], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM (or ``stop``)."""
    database = Database(configuration.data / "manager.sqlite", MIGRATIONS)
    life = timedelta(seconds=configuration.certificate_life)
    authority = Authority(configuration.data / "authority", life)
    alarm_list = Alarms(database)
    registry = Registry(database, alarm_list)
    office = Enrolment(database, authority, alarm_list, configuration.domain, lambda: registry.current)
    registry.office = office
    makers = [one for path in configuration.maker_ca for one in x509.load_pem_x509_certificates(path.read_bytes())]
    limit = RateLimit(configuration.requests_per_minute, configuration.burst)
    wan = Wan(configuration, office, authority, alarm_list, makers, limit)
    stores = north.datastores(configuration.yang, registry, configuration.data)
    await stores.start()
    duties = asyncio.gather(_renew(office), expiry.follow(database, registry, alarm_list, life))
    strangers = Strangers(alarm_list)
    try:
        inside = north.application(stores, registry, verify, wan.public())
        listeners = _listeners(configuration, authority, wan.app(), inside, strangers)
        await server.serve(None, listeners, ready=ready, stop=stop)
    finally:
        duties.cancel()
        await asyncio.gather(duties, return_exceptions=True)
        await strangers.close()
        await stores.close()
        database.close()


def _listeners(
    configuration: Settings, authority: Authority, outside_app: ASGIApp, inside_app: ASGIApp, strangers: Strangers
) -> list[server.Listener]:
    certificate, key = configuration.certificate, configuration.key
    service_ca = configuration.service_ca

    def inside() -> ssl.SSLContext:
        # Tokens of components are bound to their certificates (RFC 8705), so a client may show one.
        return tls.server_context(certificate, key, service_ca)

    anchors = [*configuration.maker_ca, authority.certificate_path]
    shown, shown_key = configuration.bootstrap_certificate, configuration.bootstrap_key

    def outside() -> ssl.SSLContext:
        return tls.server_context(shown, shown_key, anchors)

    follow_in = tls.Contexts(inside, [certificate, key, service_ca])
    follow_out = tls.Contexts(outside, [shown, shown_key, *anchors])
    return [
        *(server.Listener(host, configuration.port, follow_in, app=inside_app) for host in configuration.listen),
        *(
            server.Listener(
                host,
                configuration.wan_port,
                follow_out,
                on_refused=strangers.refused,
                app=outside_app,
                limit_per_peer=PER_PEER,
            )
            for host in configuration.wan_listen
        ),
    ]


async def _renew(office: Enrolment) -> None:
    """The CRL is renewed when half of its time is over; strict peers refuse everybody once it has expired."""
    while True:
        try:
            if await asyncio.to_thread(office.refresh_crl):
                log.info("CRL renewed")
        except Exception:
            log.exception("the CRL could not be renewed; trying again")
        await asyncio.sleep(CRL_CHECK_SECONDS)


async def _main(configuration: Settings) -> None:
    context = tls.client_context(configuration.service_ca, configuration.certificate, configuration.key)
    verifier = tokens.Verifier(configuration.issuer, f"{configuration.identity_url}/oauth2/jwks", context)
    try:
        await run(configuration, verifier.verify)
    finally:
        await verifier.aclose()


def main() -> None:
    """``python -m manager``."""
    try:
        configuration = settings.load(Settings, "manager")
        logs.setup("manager", configuration.log_level)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_main(configuration))
    except (settings.SettingsError, AuthorityError, server.StartError) as error:
        sys.exit(f"manager: {error}")

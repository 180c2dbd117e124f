"""The process: intent in the north, devices in the south, and between them the loop that makes these as that says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
from stackkit import alarms as alarm_list
from stackkit import http, logs, server, settings, tls, tokens
from stackkit.database import Database
from stackkit.loops import together
from stackkit.restconf import Verify
from yangkit import Datastores, NetconfServer

from controller.intent import MIGRATION as NUMBERS
from controller.intent import AllocationStore
from controller.northbound import doors
from controller.northbound.alarms import CLONED, Desk
from controller.northbound.backend import IntentBackend
from controller.northbound.network_state import Announcer, NetworkState
from controller.northbound.operations import Operations
from controller.operational.watch import Watcher
from controller.settings import Settings
from controller.southbound import attached, inventory, journal, quarantine
from controller.southbound.attached import Attached
from controller.southbound.departures import Departures
from controller.southbound.executor import Executor
from controller.southbound.inventory import Inventory
from controller.southbound.journal import Journal
from controller.southbound.quarantine import Quarantine
from controller.southbound.reconcile import Reconciler
from controller.southbound.registry import Registry
from controller.southbound.report import Report
from controller.southbound.revocation import Revocation
from controller.southbound.sessions import Sessions
from controller.southbound.trust import operational_ca

log = logging.getLogger(__name__)
#: Append-only, in this order.
MIGRATIONS = (
    journal.MIGRATION,
    quarantine.MIGRATION,
    NUMBERS,
    inventory.MIGRATION,
    attached.MIGRATION,
    alarm_list.MIGRATION,
    inventory.MIGRATION_IPV6,
    inventory.MIGRATION_CALLS,
)


@dataclass(frozen=True)
class Controller:
    """Everything but the listeners in the north."""

    server: NetconfServer
    stores: Datastores
    sessions: Sessions


@contextlib.asynccontextmanager
async def running(
    configuration: Settings, anybody: httpx.AsyncClient, client: httpx.AsyncClient, stop: asyncio.Event
) -> AsyncIterator[Controller]:
    """The controller at work; ``client`` asks the manager with our token, ``anybody`` without.

    ``stop`` is set when a part of it has failed for good, which is raised in the end.
    """
    data = configuration.data
    ca_file = data / "operational-ca.pem"
    ca = await operational_ca(anybody, configuration.manager_url, ca_file)
    database = Database(data / "controller.sqlite", MIGRATIONS)
    desk, notes, devices = Desk(database), Journal(database), Inventory(database)
    revocation = Revocation(ca, data / "crl.der")
    registry = Registry(client, configuration.manager_url, data / "registry.json")
    clones = Quarantine(database)
    for clone in clones.clones:  # a crash may have come between the note and its alarm
        desk.device(clone.device, CLONED, clone.reason)
    sessions = Sessions(revocation, clones, known=registry.refusal, alarm=desk.device)
    backend = IntentBackend(devices, AllocationStore(database), configuration.domain)
    yang = tuple(configuration.yang)
    reconciler = Reconciler(
        sessions,
        Executor(notes, sessions.session),
        notes,
        devices,
        Attached(database),
        backend.number,
        yang,
        domain=configuration.domain,
    )
    watcher = Watcher(reconciler, sessions)
    state = NetworkState(registry, devices, reconciler, watcher, configuration.domain)
    backend.states["elasticlab-network:network"] = state.tree
    backend.parts["elasticlab-network:network"] = state.part
    backend.stored_states["ietf-alarms:alarms"] = desk.tree
    stores = doors.datastores(configuration, backend)
    operations = Operations(stores, backend, devices, yang)
    netconf = doors.netconf(
        stores,
        {
            "elasticlab-network:plan": operations.plan,
            "elasticlab-network:get-intended": operations.get_intended,
        },
    )
    announcer = Announcer(netconf.notifications.publish)
    reconciler.on_change.append(announcer.device)
    watcher.on_site += [announcer.site, desk.site]
    watcher.on_cloud += [announcer.cloud, desk.cloud]
    sessions.on_change.append(desk.admitted)
    stores.change_listeners.append(lambda _: reconciler.follow(backend.parse(stores.told)))
    departures = Departures(registry, sessions, reconciler, devices)

    await stores.start()
    if stores.applied:
        reconciler.follow(backend.parse(stores.told))
    url = f"{configuration.manager_url}/crl"

    async def fetched() -> bool:
        await revocation.fetch(anybody, url)
        return revocation.problem is None

    report = Report(client, configuration.manager_url, clones, fetch=fetched, registered=registry.has, over=desk.over)
    await asyncio.gather(revocation.fetch(anybody, url), registry.fetch())
    loops = [
        desk.run(),
        revocation.follow(anybody, url),
        registry.follow(),
        report.run(),
        departures.run(),
        reconciler.run(),
        watcher.run(),
    ]
    try:
        async with together(loops, stop):
            for host in configuration.wan_listen:
                await sessions.listen(
                    host, configuration.wan_port, cert=configuration.certificate, key=configuration.key, ca=ca_file
                )
            yield Controller(netconf, stores, sessions)
    finally:
        await netconf.close()
        await sessions.close()
        await stores.close()
        database.close()


async def run(
    configuration: Settings,
    anybody: httpx.AsyncClient,
    client: httpx.AsyncClient,
    verify: Verify,
    ready: Callable[[Controller, server.Server], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM (or ``stop``)."""
    stop = stop or asyncio.Event()
    async with running(configuration, anybody, client, stop) as controller:
        app = doors.restconf(controller.server, verify)
        await doors.open_netconf(controller.server, configuration)

        def context() -> ssl.SSLContext:
            return tls.server_context(configuration.certificate, configuration.key, configuration.service_ca)

        follow = tls.Contexts(context, [configuration.certificate, configuration.key, configuration.service_ca])
        await server.serve(
            app,
            [server.Listener(host, configuration.port, follow) for host in configuration.listen],
            ready=None if ready is None else lambda running: ready(controller, running),
            stop=stop,
        )


async def _main(configuration: Settings) -> None:
    context = tls.client_context(configuration.service_ca, configuration.certificate, configuration.key)
    verifier = tokens.Verifier(configuration.issuer, f"{configuration.identity_url}/oauth2/jwks", context)
    session = tokens.Session(configuration.identity_url, "controller", context)
    try:
        async with http.client(context) as anybody, http.client(context, session) as client:
            await run(configuration, anybody, client, verifier.verify)
    finally:
        await session.aclose()
        await verifier.aclose()


def main() -> None:
    """``python -m controller``."""
    try:
        configuration = settings.load(Settings, "controller")
        logs.setup("controller", configuration.log_level)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_main(configuration))
    except (settings.SettingsError, server.StartError) as error:
        sys.exit(f"controller: {error}")

"""The box's life: it comes to its credentials, offers NETCONF, and calls its controller."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from yangkit import Datastores, NetconfServer

from element import credentials
from element.backend import ElementBackend
from element.credentials import Credentials
from element.day0 import Day0
from element.factory import Identity
from element.places import Places
from element.revocation import Revocations
from element.rpc import Rpcs

log = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between two looks for the address of an uplink."""
LONGEST_WAIT = 5.0
"""A controller that is back is called within so many seconds."""


class Box:
    """What there is before the credentials."""

    def __init__(
        self, places: Places, identity: Identity, stores: Datastores, backend: ElementBackend, beginning: Day0
    ) -> None:
        self._places = places
        self._identity = identity
        self._stores = stores
        self._backend = backend
        self._beginning = beginning

    async def live(self, folder: Path, revocations: Revocations) -> None:
        """Never ends by itself."""
        own = await self._credentials(folder, revocations)
        rpcs = Rpcs(self._backend, revocations)
        server = NetconfServer(self._stores, rpcs=rpcs.handlers, recovery_users=own.clients)
        rpcs.server = server
        self._backend.on_credentials = rpcs.end_revoked_sessions
        try:
            await _offer(server, own)
            log.info("%s %s is %s, serving NETCONF", self._identity.model, self._identity.serial, own.name)
            await self._call_home(server, own)
            await asyncio.Event().wait()
        finally:
            await server.close()

    async def _credentials(self, folder: Path, revocations: Revocations) -> Credentials:
        if credentials.unfinished(folder):
            # Imported now: it is needed once in a box's life, and would cost at each start.
            from element.enrolment import client  # noqa: PLC0415

            factory, day0 = self._places.factory, self._beginning
            enrolment = client.Enrolment(self._identity, factory, folder.parent, day0.interface)
            await client.enrol(enrolment, lambda: day0.ask(self._backend.bootstrap_servers()), self._backend.admit)
        return credentials.read(folder, revocations)

    async def _call_home(self, server: NetconfServer, own: Credentials) -> None:
        # A call without an address of the uplink's would go out with another interface's, and wait for an answer.
        while not self._backend.way_out():  # noqa: ASYNC110 - leases are polled for, too
            await asyncio.sleep(LOOK)
        await self._backend.admit([own.controller])
        server.call_home_tls(
            *own.controller,
            cert=own.cert,
            key=own.key,
            ca=own.client_ca,
            names=own.client_names,
            users=own.clients,
            # Bound to an uplink, or it would take the management network where that leads somewhere.
            device=lambda: next(iter(self._backend.uplinks), self._beginning.interface),
            longest_wait=LONGEST_WAIT,
        )


async def _offer(server: NetconfServer, own: Credentials) -> None:
    """NETCONF for people and programs that come to us; the packet filter lets them in by the management network."""
    await server.listen_ssh("", 830, host_key=own.host_key, authorized_keys=own.users)
    await server.listen_tls(
        "",
        6513,
        cert=own.cert,
        key=own.key,
        ca=own.client_ca,
        names=own.client_names,
        users=own.clients,
        revoked=own.revocations.revoked,
    )

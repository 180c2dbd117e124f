"""The box's life: it comes to its credentials, offers NETCONF, and calls its controller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from yangkit import Datastores, NetconfServer
from yangkit.callhome import CallHome

from element import clock, credentials, validity
from element.backend import ElementBackend
from element.credentials import Credentials
from element.day0 import Day0
from element.enrolment.errors import EnrolmentError
from element.factory import Identity
from element.keeper import Keeper
from element.places import Places
from element.revocation import Revocations
from element.rpc import Rpcs

log = logging.getLogger(__name__)

LAST_ANSWERS = 2.0
"""Seconds until a session that began with former certificates ends: whoever had them renewed hears of it."""
PATIENCE = 4.0
"""Seconds for somebody to say what time it is. A box that is told to stop waits so long."""
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
        self._clock = clock.Clock(places.set_clock)
        self._home: CallHome | None = None
        self._lost = False

    async def live(self, folder: Path, revocations: Revocations) -> None:
        """Never ends by itself."""
        if self._clock.now() < clock.floor(self._places.factory):  # it is not slow, it has been lost
            self._lost = self._clock.rise(self._floor())
        own = await self._credentials(folder, revocations)
        rpcs = Rpcs(self._backend, revocations)
        keeper = rpcs.keeper = self._keeper(own, rpcs)
        server = NetconfServer(self._stores, rpcs=rpcs.handlers, recovery_users=own.clients)
        rpcs.server = server
        self._backend.on_credentials = rpcs.end_revoked_sessions
        self._backend.more_state = keeper.state
        try:
            await _offer(server, own)
            log.info("%s %s is %s, serving NETCONF", self._identity.model, self._identity.serial, own.name)
            await self._call_home(server, own)
            await keeper.run()  # now that the manager's answers are let in
        finally:
            await server.close()

    def _keeper(self, own: Credentials, rpcs: Rpcs) -> Keeper:
        trust, folder = self._places.factory / "trust-anchor.pem", own.folder

        def renew() -> None:
            from element.enrolment.renewal import Renewal  # noqa: PLC0415 - as below

            Renewal(folder.parent, trust, self._uplink).renew()

        def ask_time() -> bool:
            try:
                return self._ask_time(own.cert, own.key, own.est_server)
            except clock.ClockError:
                raise
            except EnrolmentError:  # what has ended opens no door; the factory's identity does not end
                factory = self._places.factory
                return self._ask_time(factory / "idevid.pem", factory / "idevid.key", own.est_server)

        async def taken() -> None:
            if delay := await self._backend.renew_credentials():
                log.error("not all uses the credentials yet: %s; tried again soon", delay)
            rpcs.show_new_certificates()
            if self._home is not None:
                asyncio.get_running_loop().call_later(LAST_ANSWERS, self._home.again)

        async def enrol() -> None:
            from element.enrolment import client  # noqa: PLC0415 - as below

            async def admit(contacts: Sequence[tuple[str, int]]) -> None:
                await self._backend.admit([*own.contacts, *contacts])

            enrolment = client.Enrolment(self._identity, self._places.factory, folder.parent, self._uplink, again=True)
            await client.enrol_once(enrolment, self._servers(), admit)

        return Keeper(
            lambda: validity.read(folder),
            self._clock,
            percent=lambda: self._backend.renew_after,
            renew=renew,
            ask_time=ask_time,
            enrol=enrol,
            taken=taken,
            doubt=self._lost,
        )

    def _uplink(self) -> str:
        """The interface that leads somewhere now."""
        return next(iter(self._backend.uplinks), self._beginning.interface)

    def _servers(self) -> tuple[str, ...]:
        return self._beginning.ask(self._backend.bootstrap_servers())

    def _ask_time(self, cert: Path, key: Path, server: str) -> bool:
        """Put the clock right by what a server says; whether that was necessary."""
        from element.enrolment.https import Https  # noqa: PLC0415 - as below

        trust = self._places.factory / "trust-anchor.pem"
        https = Https(trust, cert, key, self._uplink, dates=False, patience=PATIENCE)
        return self._clock.correct(clock.told(https, server), self._floor())

    def _floor(self) -> datetime:
        state = self._places.state
        return clock.floor(self._places.factory, state, credentials.place(state))

    async def _credentials(self, folder: Path, revocations: Revocations) -> Credentials:
        if credentials.unfinished(folder):
            # Imported now: it is needed once in a box's life, and would cost at each start.
            from element.enrolment import client  # noqa: PLC0415

            factory = self._places.factory
            enrolment = client.Enrolment(self._identity, factory, folder.parent, self._uplink)
            correct = partial(self._ask_time, factory / "idevid.pem", factory / "idevid.key")
            await client.enrol(enrolment, self._servers, self._backend.admit, correct)
        return credentials.read(folder, revocations)

    async def _call_home(self, server: NetconfServer, own: Credentials) -> None:
        # A call without an address of the uplink's would go out with another interface's, and wait for an answer.
        await self._backend.way_out(ip_address(own.controller[0]).version)
        await self._backend.admit(own.contacts)
        self._home = server.call_home_tls(
            *own.controller,
            cert=own.cert,
            key=own.key,
            ca=own.client_ca,
            names=own.client_names,
            users=own.clients,
            # Bound to an uplink, or it would take the management network where that leads somewhere.
            device=self._uplink,
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

"""Event subscriptions (TMF630 /hub) and their delivery: durable, in order for each listener, tried until it succeeds.

A callback is an address that a stranger gives to a server inside: unless settings allow it, loopback, link-local (with
the clouds' metadata service), multicast and unspecified addresses are refused, and looked up again at each delivery
(a name may point elsewhere tomorrow).
"""

import asyncio
import contextlib
import functools
import ipaddress
import logging
import socket
import time
from urllib.parse import urlsplit

import httpx
import sqlalchemy as sa
from stackkit.database import Database
from stackkit.problems import Problem

from gro import store
from gro.notices import OUTBOX, Notices

log = logging.getLogger(__name__)

IDLE = 30.0
LONGEST_PAUSE = 300.0
ATTEMPTS = 30


class ForbiddenAddressError(Exception):
    """A callback that this server will not call."""


async def check_callback(url: str, allow_internal: bool) -> None:
    """Raises ForbiddenAddressError if a callback (models.py says how it looks) leads to where no listener may be."""
    host = urlsplit(url).hostname
    if allow_internal:
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ForbiddenAddressError(f"{host} has no address: {error}") from None
    for entry in found:
        address = ipaddress.ip_address(str(entry[4][0]).split("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_loopback or mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
            raise ForbiddenAddressError(f"{host} is {mapped}: this address is not called")


async def checked(url: str, allow_internal: bool) -> str:
    """The callback of a subscription, or the problem that names it."""
    try:
        await check_callback(url, allow_internal)
    except (ForbiddenAddressError, ValueError) as error:
        raise Problem(400, "Invalid subscription", str(error), "/callback") from None
    return url


class Courier:
    """Delivers what is in the outbox; one delivery of a listener at a time keeps their order."""

    def __init__(
        self, database: Database, client: httpx.AsyncClient, notices: Notices, *, allow_internal: bool = False
    ) -> None:
        self._database = database
        self._client = client
        self._notices = notices
        self._allow_internal = allow_internal
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled; a listener that is slow or away keeps no other waiting."""
        try:
            with self._notices.watching(OUTBOX) as wake:
                while True:
                    wake.clear()
                    pause = IDLE
                    try:
                        pause = self._send_what_is_due()
                    except sa.exc.SQLAlchemyError:
                        log.exception("the outbox cannot be read; tried again")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(wake.wait(), pause)
        finally:
            for task in self._busy.values():
                task.cancel()

    def _send_what_is_due(self) -> float:
        """Begins with the oldest delivery of every idle listener; returns after how long to look again."""
        first = sa.select(sa.func.min(store.deliveries.c.number)).group_by(store.deliveries.c.listener)
        query = (
            sa.select(store.deliveries, store.listeners.c.callback)
            .join(store.listeners)
            .where(store.deliveries.c.number.in_(first))
        )
        with self._database.read() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        now, pause = time.time(), IDLE
        for row in rows:
            if row["listener"] in self._busy:
                continue
            if row["due"] > now:
                pause = min(pause, row["due"] - now)
                continue
            task = asyncio.create_task(self._deliver(row), name=f"listener {row['listener']}")
            self._busy[row["listener"]] = task
            task.add_done_callback(functools.partial(self._idle, row["listener"]))
        return pause

    def _idle(self, listener: str, _: asyncio.Task[None]) -> None:
        del self._busy[listener]
        self._notices.tell(OUTBOX)

    async def _deliver(self, row: store.Row) -> None:
        try:
            await check_callback(row["callback"], self._allow_internal)
            response = await self._client.post(row["callback"], json=row["body"], timeout=10, follow_redirects=False)
            problem = None if response.is_success else f"status {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, ForbiddenAddressError, ValueError) as error:
            problem = str(error) or type(error).__name__
        attempts = row["attempts"] + 1
        key = store.deliveries.c.number == row["number"]
        with self._database.begin() as connection:
            if problem is None or attempts >= ATTEMPTS:
                connection.execute(sa.delete(store.deliveries).where(key))
            else:
                due = time.time() + min(0.5 * 2 ** (attempts - 1), LONGEST_PAUSE)
                connection.execute(sa.update(store.deliveries).where(key).values(attempts=attempts, due=due))
        if problem is not None:
            log.warning("listener %s: attempt %d failed: %s", row["listener"], attempts, problem)

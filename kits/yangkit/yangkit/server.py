"""The NETCONF server: sessions over SSH and TLS, listening and calling home, on one set of datastores."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from yangkit import monitoring
from yangkit.callhome import LAST, CallHome
from yangkit.certnames import NameRule
from yangkit.confirmed import Commits
from yangkit.datastores import Datastores
from yangkit.framing import DEFAULT_LIMIT
from yangkit.nacm import Access, Rules
from yangkit.notifications import Notifications
from yangkit.operations import Handler, Operations
from yangkit.session import Peer, Session, Transport
from yangkit.tls_server import TlsEndpoint

if TYPE_CHECKING:
    from yangkit.ssh_server import SshEndpoint


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them together, may take."""

    sessions: int = 256
    connections: int = 512
    message_size: int = DEFAULT_LIMIT
    hello_seconds: float = 30.0
    handshake_seconds: float = 20.0
    waiting_notifications: int = 1000


class Closable(Protocol):
    """A listener."""

    port: int

    async def close(self) -> None: ...


class NetconfServer:
    """Serves datastores to NETCONF clients.

    ``recovery_users`` have sessions that access control does not bind (RFC 8341, section 3.3). ``write_only`` leaves
    ("module:name") are read back by nobody, not even by them. ``rpcs`` holds the handlers of RPCs ("module:name") and
    actions ("/module:container/list/name").
    """

    def __init__(
        self,
        datastores: Datastores,
        *,
        rpcs: Mapping[str, Handler] | None = None,
        recovery_users: Collection[str] = ("admin",),
        write_only: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.stores = datastores
        self.rpcs = dict(rpcs or {})
        self.recovery_users = frozenset(recovery_users)
        self.write_only = frozenset(write_only)
        self.limits = limits or Limits()
        self.sessions: dict[int, Session] = {}
        self.counters: Counter[str] = Counter()
        self.capabilities = monitoring.capabilities(datastores.schema)
        self.commits = Commits(datastores)
        self.notifications = Notifications(datastores.schema)
        self.state = monitoring.State(self, self.capabilities)
        self.operations = Operations(self)
        datastores.change_listeners.append(self.notifications.changed)
        self.commits.listeners.append(self.notifications.confirmed_commit)
        self._numbers = count(1)
        self._listeners: list[Closable] = []
        self._calls: list[CallHome] = []
        self._tls: list[TlsEndpoint] = []
        self._gone: set[asyncio.Task[None]] = set()

    def access(self, rules: Rules, user: str) -> Access:
        """What a user may do under these rules."""
        return Access(rules, user, user in self.recovery_users, self.write_only)

    # -- listening and calling home ----------------------------------------------------------------------------------

    @property
    def ports(self) -> list[int]:
        """The bound port of each listener, in the order they were made."""
        return [listener.port for listener in self._listeners]

    async def listen_ssh(
        self, host: str, port: int = 830, *, host_key: Path, authorized_keys: Mapping[str, Path]
    ) -> int:
        """Accept NETCONF over SSH (RFC 6242); each user's public keys are in a file of OpenSSH's format."""
        endpoint = _ssh_endpoint(self, host_key, authorized_keys)
        return self._listening(await endpoint.listen(host, port))

    async def listen_tls(
        self,
        host: str,
        port: int = 6513,
        *,
        cert: Path,
        key: Path,
        ca: Path,
        names: Sequence[NameRule],
        crl: Path | None = None,
        users: Collection[str] | None = None,
        revoked: Callable[[bytes], bool] | None = None,
    ) -> int:
        """Accept NETCONF over mutual TLS (RFC 7589); ``names`` turns client certificates into user names.

        ``users`` are those who may come in; without it, everybody whom the CA has certified and ``names`` gives a name.
        ``revoked`` is asked about each client's certificate (DER), beside the list in the file ``crl``.
        """
        endpoint = TlsEndpoint(self, cert, key, ca, names, crl, users, revoked)
        self._tls.append(endpoint)
        return self._listening(await endpoint.listen(host, port))

    def reload_crls(self) -> None:
        """The files with revocation lists have changed: clients still to come are looked up in the new ones."""
        for endpoint in self._tls:
            endpoint.reload_crl()

    def reload_certificates(self) -> None:
        """The files with our own certificates and keys have changed: connections still to come show the new ones."""
        for endpoint in self._tls:
            endpoint.reload()

    def _listening(self, listener: Closable) -> int:
        self._listeners.append(listener)
        return listener.port

    def call_home_ssh(
        self, host: str, port: int = 4334, *, host_key: Path, authorized_keys: Mapping[str, Path]
    ) -> CallHome:
        """Call a client and serve it over SSH (RFC 8071); again and again, until stopped."""
        return self._calling(_ssh_endpoint(self, host_key, authorized_keys).call, host, port)

    def call_home_tls(
        self,
        host: str,
        port: int = 4335,
        *,
        cert: Path,
        key: Path,
        ca: Path,
        names: Sequence[NameRule],
        crl: Path | None = None,
        users: Collection[str] | None = None,
        device: str | Callable[[], str] | None = None,
        longest_wait: float = LAST,
    ) -> CallHome:
        """Call a client and serve it over TLS (RFC 8071); again and again, until stopped.

        ``device`` is the interface by which the call leaves, or tells it before each call; ``longest_wait`` bounds the
        seconds between two calls.
        """
        endpoint = TlsEndpoint(self, cert, key, ca, names, crl, users)
        return self._calling(partial(endpoint.call, device=device), host, port, longest_wait)

    def _calling(
        self, call: Callable[[str, int], Awaitable[None]], host: str, port: int, longest_wait: float = LAST
    ) -> CallHome:
        home = CallHome(call, host, port, longest_wait)
        self._calls.append(home)
        return home

    async def close(self) -> None:
        """End all sessions and listeners. A commit that is not confirmed stays unconfirmed."""
        for home in self._calls:
            await home.stop()
        for listener in self._listeners:
            await listener.close()
        for session in list(self.sessions.values()):
            session.end("other")
        await asyncio.gather(*self._gone, return_exceptions=True)
        await self.commits.close()

    # -- sessions ----------------------------------------------------------------------------------------------------

    def hello(self, session: int) -> bytes:
        """The server's hello for a session."""
        return monitoring.hello(self.capabilities, session)

    @property
    def full(self) -> bool:
        """Are there as many sessions as there may be?"""
        return len(self.sessions) >= self.limits.sessions

    def new_session(self, peer: Peer, transport: Transport) -> Session:
        """A client is authenticated and wants to speak NETCONF."""
        number = next(self._numbers)
        session = Session(self, peer, transport, number)
        self.sessions[number] = session
        return session

    def session_opened(self, session: Session) -> None:
        """Both sides have said hello."""
        self.counters["in-sessions"] += 1
        self.notifications.session_started(session)

    def session_ended(self, session: Session, was_open: bool, reason: str, killed_by: int | None) -> None:
        """A session ends: its locks, its subscription and its pending commit go with it.

        An operation that is under way is carried through first, and keeps the session's locks so long.
        """
        self.sessions.pop(session.id, None)
        self.notifications.forget(session)
        if was_open:
            if reason == "dropped":
                self.counters["dropped-sessions"] += 1
            self.notifications.session_ended(session, reason, killed_by)
        if session.is_busy:
            task = asyncio.create_task(self._let_go(session))
            self._gone.add(task)
            task.add_done_callback(self._gone.discard)
        else:
            self._release(session)

    async def _let_go(self, session: Session) -> None:
        await session.finished()
        self._release(session)

    def _release(self, session: Session) -> None:
        self.commits.session_ended(session.id)
        self.stores.release(session.id)


def _ssh_endpoint(server: NetconfServer, host_key: Path, authorized_keys: Mapping[str, Path]) -> SshEndpoint:
    # Imported on first use: who offers RESTCONF or TLS only does not wait for the cryptography of SSH.
    endpoint: SshEndpoint = import_module("yangkit.ssh_server").SshEndpoint(server, host_key, authorized_keys)
    return endpoint

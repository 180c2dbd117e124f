"""NETCONF over SSH, the server's side: RFC 6242."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from yangkit.session import Peer, Session

if TYPE_CHECKING:
    from yangkit.server import NetconfServer

log = logging.getLogger(__name__)


class SshEndpoint:
    """One way in over SSH: a host key, and the users with their public keys."""

    def __init__(self, server: NetconfServer, host_key: Path, authorized_keys: Mapping[str, Path]) -> None:
        self.server = server
        self.users = dict(authorized_keys)
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._options: dict[str, Any] = {
            "server_host_keys": [str(host_key)],
            "server_factory": lambda: _Connection(self),
            "password_auth": False,
            "kbdint_auth": False,
            "gss_host": None,
            "host_based_auth": False,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "allow_pty": False,
            "line_editor": False,
            "allow_scp": False,
            "encoding": None,
            "compression_algs": None,
            "login_timeout": server.limits.handshake_seconds,
            "keepalive_interval": 30,
            "config": None,
        }

    async def listen(self, host: str, port: int) -> _Listener:
        """Accept connections."""
        acceptor = await asyncssh.listen(host, port, **self._options)
        return _Listener(acceptor, self)

    async def call(self, host: str, port: int) -> None:
        """Make one connection to a client and serve it to its end (RFC 8071, section 3.1)."""
        connection = await asyncssh.connect_reverse(host, port, **self._options)
        try:
            await connection.wait_closed()
        finally:
            connection.abort()


class _Listener:
    def __init__(self, acceptor: asyncssh.SSHAcceptor, endpoint: SshEndpoint) -> None:
        self._acceptor = acceptor
        self._endpoint = endpoint
        self.port = acceptor.get_port()

    async def close(self) -> None:
        self._acceptor.close()
        for connection in list(self._endpoint.connections):
            connection.close()
        await self._acceptor.wait_closed()


class _Connection(asyncssh.SSHServer):
    """Authenticates one SSH connection; each channel with the subsystem is a NETCONF session."""

    def __init__(self, endpoint: SshEndpoint) -> None:
        self._endpoint = endpoint
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if len(self._endpoint.connections) >= self._endpoint.server.limits.connections:
            log.warning("an SSH connection is refused: there are too many")
            conn.abort()
            return
        self._endpoint.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._endpoint.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        path = self._endpoint.users.get(username)
        assert self._connection is not None
        if path is not None:
            # Read for each connection, so that a key that is taken out of the file is out.
            with contextlib.suppress(OSError, ValueError):
                self._connection.set_authorized_keys(str(path))
        return True

    def public_key_auth_supported(self) -> bool:
        return True  # also for unknown users, who shall not learn that they are

    def session_requested(self) -> _Channel:
        assert self._connection is not None
        return _Channel(self._endpoint.server, self._connection)


class _Channel(asyncssh.SSHServerSession[bytes]):
    """One channel."""

    def __init__(self, server: NetconfServer, connection: asyncssh.SSHServerConnection) -> None:
        self._server = server
        self._connection = connection
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._session: Session | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        if self._server.full:
            log.warning("a NETCONF session is refused: there are %d", len(self._server.sessions))
            return False
        return subsystem == "netconf"

    def session_started(self) -> None:
        assert self._channel is not None
        host = self._connection.get_extra_info("peername")
        peer = Peer(user=self._connection.get_extra_info("username"), host=str(host[0]) if host else "", transport=SSH)
        self._session = self._server.new_session(peer, _SshTransport(self._channel))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._session is not None:
            self._session.data_received(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self._session is not None:
            self._session.pause_writing()

    def resume_writing(self) -> None:
        if self._session is not None:
            self._session.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._session is not None:
            self._session.connection_lost()


SSH = "ietf-netconf-monitoring:netconf-ssh"


class _SshTransport:
    """A channel as a session sees it."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = channel

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the client has closed its side; connection_lost follows
            self._channel.write(data)

    def close(self) -> None:
        self._channel.close()

    def pause_reading(self) -> None:
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        self._channel.resume_reading()

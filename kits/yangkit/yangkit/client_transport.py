"""Connections of the NETCONF client: SSH and TLS, called and calling home (RFC 6242, 7589, 8071)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import asyncssh

from yangkit import tls_buffers

log = logging.getLogger(__name__)
tls_buffers.lessen()
_HANDSHAKE = 20.0
#: Calls that may wait to be taken: all devices call at once when their controller is back.
BACKLOG = 4096
#: Of the kernel's struct tcp_info: how many milliseconds ago the other end has acknowledged anything.
_TCP_INFO = struct.Struct("@56xI")
#: Linux asks no more often than so.
_MOST = 127


class Receiver(Protocol):
    """Who gets the bytes."""

    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...


class Wire:
    """A byte stream to one server. Bytes that come before there is a receiver are kept for it."""

    peer_certificate: bytes | None = None
    #: IP address of the other end, where the transport knows it (TLS).
    peer_address: str | None = None

    def __init__(self) -> None:
        self._receiver: Receiver | None = None
        self._early = bytearray()
        self._lost = False
        self._error: Exception | None = None

    @property
    def receiver(self) -> Receiver | None:
        """Who gets the bytes."""
        return self._receiver

    @receiver.setter
    def receiver(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._early:
            receiver.data_received(bytes(self._early))
            self._early.clear()
        if self._lost:
            receiver.connection_lost(self._error)

    def _got(self, data: bytes) -> None:
        if self._receiver is None:
            self._early += data
        else:
            self._receiver.data_received(data)

    def _gone(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost, self._error = True, error
        if self._receiver is not None:
            self._receiver.connection_lost(error)

    def is_heard_of(self, seconds: float) -> bool:
        """Has the machine at the other end acknowledged anything within so many seconds (five are enough for it to)?

        That says nothing of the program there. False, too, where it cannot be told.
        """
        return False

    def write(self, data: bytes) -> None:
        """Send bytes."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connection in good order."""
        raise NotImplementedError


# -- SSH


class _SshWire(Wire, asyncssh.SSHClientSession[bytes]):
    def __init__(self) -> None:
        super().__init__()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._got(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(exc)

    def write(self, data: bytes) -> None:
        assert self._channel is not None
        with contextlib.suppress(OSError):  # connection_lost tells
            self._channel.write(data)

    def abort(self) -> None:
        if self.connection is not None:
            self.connection.abort()

    async def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self.connection.wait_closed()


def _public_key(path: Path) -> asyncssh.SSHKey:
    """A host key from a file with its public or its private half."""
    try:
        return asyncssh.read_public_key(path)
    except asyncssh.KeyImportError:
        return asyncssh.read_private_key(path).convert_to_public()


def _ssh_options(username: str, client_key: Path, host_keys: Sequence[Path] | None) -> dict[str, Any]:
    known: Any = None if host_keys is None else ([_public_key(path) for path in host_keys], [], [])
    return {
        "username": username,
        "client_keys": [str(client_key)],
        "known_hosts": known,
        "agent_path": None,
        "password_auth": False,
        "kbdint_auth": False,
        "config": None,
        "compression_algs": None,
        "login_timeout": _HANDSHAKE,
        "keepalive_interval": 30,
    }


async def ssh(host: str, port: int, *, username: str, client_key: Path, host_key: Path | Sequence[Path] | None) -> Wire:
    """Connect over SSH. ``host_key``: file(s) with the server's key; None takes whoever answers."""
    keys = [host_key] if isinstance(host_key, Path) else host_key
    options = _ssh_options(username, client_key, keys)
    try:
        connection = await asyncssh.connect(host, port, **options)
    except asyncssh.Error as error:
        raise ConnectionError(f"SSH to {host} port {port}: {error.reason}") from error
    return await _subsystem(connection)


async def _subsystem(connection: asyncssh.SSHClientConnection) -> Wire:
    try:
        _, session = await connection.create_session(_SshWire, subsystem="netconf", encoding=None)
    except asyncssh.Error as error:
        connection.abort()
        raise ConnectionError(f"the server has no subsystem netconf: {error.reason}") from error
    wire = cast(_SshWire, session)
    wire.connection = connection
    return wire


# -- TLS


class _TlsWire(Wire, asyncio.Protocol):
    def __init__(self) -> None:
        super().__init__()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peer_certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        _prod(transport.get_extra_info("socket"))
        peer = transport.get_extra_info("peername")
        self.peer_address = str(peer[0]) if peer else None

    def data_received(self, data: bytes) -> None:
        self._got(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(exc)
        if not self._closed.done():
            self._closed.set_result(None)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def is_heard_of(self, seconds: float) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        try:
            return _is_heard_of(self._transport.get_extra_info("socket"), seconds)
        except OSError:
            return False

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._closed


def _prod(connection: socket.socket) -> None:
    """Have the machine at the other end acknowledge something every other second; it is ours to say when it is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 2), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, _MOST)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _is_heard_of(connection: socket.socket, seconds: float) -> bool:
    """By the kernel's books of the connection (tcp(7), TCP_INFO)."""
    (milliseconds,) = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return bool(milliseconds <= seconds * 1000)


def _tls_context(cert: Path, key: Path, ca: Path, crl: Path | None, check_name: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    context.check_hostname = check_name
    if crl is not None:
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


async def tls(
    host: str, port: int, *, cert: Path, key: Path, ca: Path, server_name: str | None = None, crl: Path | None = None
) -> Wire:
    """Connect over mutual TLS; the server's certificate must be for ``server_name`` (else the host's name)."""
    context = _tls_context(cert, key, ca, crl, check_name=True)
    _, wire = await asyncio.get_running_loop().create_connection(
        _TlsWire, host, port, ssl=context, server_hostname=server_name or host, ssl_handshake_timeout=_HANDSHAKE
    )
    return wire


# -- calls home


Stranger = Callable[[str, ssl.SSLCertVerificationError], None]
"""Told the address of a caller whose certificate is not accepted, and why."""


class WireListener:
    """Connections of servers that called, in the order in which they proved who they are."""

    def __init__(self, port: int, on_stranger: Stranger | None = None) -> None:
        self.port = port
        self._on_stranger = on_stranger
        self.queue: asyncio.Queue[Wire] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.listener: asyncssh.SSHAcceptor | asyncio.Server | None = None

    def handle(self, make: Any, address: str = "unknown") -> None:
        """Take a connection in; one that fails is dropped."""

        async def run() -> None:
            try:
                self.queue.put_nowait(await make)
            except (OSError, asyncssh.Error, TimeoutError) as error:
                log.warning("a call home from %s is refused: %s", address, error or type(error).__name__)
                if self._on_stranger is not None and isinstance(error, ssl.SSLCertVerificationError):
                    self._on_stranger(address, error)

        task = asyncio.create_task(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """Take no more; drop what nobody has accepted."""
        if self.listener is not None:
            self.listener.close()
        for task in self.tasks:
            task.cancel()
        while not self.queue.empty():
            self.queue.get_nowait().abort()


async def listen_ssh(
    host: str, port: int, *, username: str, client_key: Path, host_keys: Sequence[Path] | None
) -> WireListener:
    """Take calls over SSH: the caller is the SSH server, and must have one of these host keys (None: any)."""
    made = WireListener(0)
    acceptor = await asyncssh.listen_reverse(
        host,
        port,
        acceptor=lambda connection: made.handle(_subsystem(connection)),
        **_ssh_options(username, client_key, host_keys),
    )
    made.listener = acceptor
    made.port = acceptor.get_port()
    return made


async def listen_tls(
    host: str,
    port: int,
    *,
    cert: Path,
    key: Path,
    ca: Path,
    server_name: str | None = None,
    crl: Path | None = None,
    on_stranger: Stranger | None = None,
) -> WireListener:
    """Take calls over TLS: the caller is the TLS server; its certificate must be of this CA.

    Without a ``server_name`` any name will do: see ``NetconfClient.peer_certificate``.
    """
    context = _tls_context(cert, key, ca, crl, check_name=server_name is not None)
    made = WireListener(0, on_stranger)
    loop = asyncio.get_running_loop()

    class Accept(asyncio.Protocol):
        """Hands the socket on before a byte is read from it."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peer = transport.get_extra_info("peername")
            calling = _start_tls(cast(asyncio.Transport, transport), self, context, server_name)
            made.handle(calling, str(peer[0]) if peer else "unknown")

    server = await loop.create_server(Accept, host or None, port, backlog=BACKLOG)
    made.listener = server
    made.port = server.sockets[0].getsockname()[1]
    return made


async def _start_tls(
    transport: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext, server_name: str | None
) -> Wire:
    """Be the TLS client on a connection that was made to us; the server does not speak first."""
    wire = _TlsWire()
    try:
        upgraded = await asyncio.get_running_loop().start_tls(
            transport, wire, context, server_hostname=server_name, ssl_handshake_timeout=_HANDSHAKE
        )
    except BaseException:
        transport.abort()
        raise
    if upgraded is None:
        raise ConnectionError("the caller has gone")
    wire.connection_made(upgraded)
    return wire

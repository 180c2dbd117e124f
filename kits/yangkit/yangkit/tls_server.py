"""NETCONF over TLS, the server's side: RFC 7589."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from yangkit import tls_buffers
from yangkit.certnames import NameRule, user_name
from yangkit.session import Peer, Session

if TYPE_CHECKING:
    from yangkit.server import NetconfServer

log = logging.getLogger(__name__)
tls_buffers.lessen()
#: Seconds for TCP alone. Who answers, answers the first or second SYN; the next attempt may have another way out.
_CONNECT = 4.0
#: Octets of TCP in a packet, either way: what fits the least that any way must take (RFC 8200, section 5: 1280). A way
#: that is narrower than its ends, and where nobody says so (RFC 4821, section 1), would swallow what is larger.
LARGEST_SEGMENT = 1220
TLS = "ietf-netconf-monitoring:netconf-tls"


class TlsEndpoint:
    """One way in over TLS: a certificate, and who is believed about whom."""

    def __init__(
        self,
        server: NetconfServer,
        cert: Path,
        key: Path,
        ca: Path,
        names: Sequence[NameRule],
        crl: Path | None,
        users: Collection[str] | None = None,
        revoked: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.server = server
        self.revoked = revoked
        self._listening: list[ssl.SSLContext] = []
        self.names = list(names)
        self.users = None if users is None else frozenset(users)
        self.protocols: set[_Protocol] = set()
        self._files = cert, key, ca, crl
        self._context()  # what is wrong with the files is said now, not to the first client

    def _context(self) -> ssl.SSLContext:
        """A context for one listener or call; TLS 1.2 at least, and no client without a certificate."""
        cert, key, ca, crl = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(cert, key)
        context.load_verify_locations(ca)
        if crl is not None:
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        # Sessions are not resumed, so that every connection proves its certificate anew.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        return context

    async def listen(self, host: str, port: int) -> _Listener:
        """Accept connections."""
        context = self._context()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(self),
            host or None,
            port,
            ssl=context,
            ssl_handshake_timeout=self.server.limits.handshake_seconds,
        )
        self._listening.append(context)
        return _Listener(server, self)

    def reload_crl(self) -> None:
        """Take up a newer revocation list for clients still to come; OpenSSL prefers the latest of an issuer."""
        crl = self._files[3]
        for context in self._listening if crl is not None else ():
            context.load_verify_locations(crl)

    def reload(self) -> None:
        """Take up a newer certificate with its key for connections still to come; calls read the files each time."""
        for context in self._listening:
            context.load_cert_chain(self._files[0], self._files[1])

    async def call(self, host: str, port: int, device: str | Callable[[], str] | None = None) -> None:
        """Make one connection to a client and serve it to its end; the TLS server stays who it is (RFC 8071).

        It leaves by the interface ``device`` only, if one is given.
        """
        loop = asyncio.get_running_loop()
        # A socket of our own: the client may speak before any protocol would be ready for TLS.
        tcp = await _connect(host, port, min(_CONNECT, self.server.limits.handshake_seconds), _name(device))
        try:
            transport, protocol = await loop.connect_accepted_socket(
                lambda: _Protocol(self),
                tcp,
                ssl=self._context(),
                ssl_handshake_timeout=self.server.limits.handshake_seconds,
            )
        except BaseException:
            tcp.close()
            raise
        try:
            await protocol.closed
        finally:
            transport.abort()


def _name(device: str | Callable[[], str] | None) -> str | None:
    return device() if callable(device) else device


async def _connect(host: str, port: int, seconds: float, device: str | None) -> socket.socket:
    loop = asyncio.get_running_loop()
    problem: Exception = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        tcp = socket.socket(family, kind, protocol)
        tcp.setblocking(False)
        try:
            if device is not None:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, LARGEST_SEGMENT)
            async with asyncio.timeout(seconds):
                await loop.sock_connect(tcp, address)
        except (OSError, TimeoutError) as error:
            tcp.close()
            problem = error
            continue
        except BaseException:
            tcp.close()
            raise
        _keep_alive(tcp)
        return tcp
    raise problem


def _keep_alive(tcp: socket.socket) -> None:
    """Notice that the far end is gone without a word (RFC 8071, section 4.1): its power was cut, or the way to it.

    Asked when it was silent for five seconds, given up after three questions; what was sent has as long to arrive.
    """
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 5),
        (socket.TCP_KEEPINTVL, 2),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, 11_000),  # milliseconds
    ):
        tcp.setsockopt(socket.IPPROTO_TCP, option, value)


class _Listener:
    def __init__(self, server: asyncio.Server, endpoint: TlsEndpoint) -> None:
        self._server = server
        self._endpoint = endpoint
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for protocol in list(self._endpoint.protocols):
            protocol.drop()


class _Protocol(asyncio.Protocol):
    """One connection is one session."""

    def __init__(self, endpoint: TlsEndpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._endpoint.protocols.add(self)
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        host = transport.get_extra_info("peername")
        chain = _chain(tls)
        user = user_name(self._endpoint.names, chain)
        server = self._endpoint.server
        if chain and self._endpoint.revoked is not None and self._endpoint.revoked(chain[0]):
            # Two lists of one second are alike to OpenSSL: it may look at the older.
            log.warning("a TLS connection from %s is refused: its certificate is revoked", host)
            transport.close()
            return
        known = user is not None and (self._endpoint.users is None or user in self._endpoint.users)
        if user is None or not known or server.full:
            # RFC 7589, section 7: without a user name the connection is closed.
            reason = "there are too many sessions" if known else f"its certificate maps to no user (name: {user!r})"
            log.warning("a TLS connection from %s is refused: %s", host, reason)
            transport.close()
            return
        peer = Peer(user=user, host=str(host[0]) if host else "", transport=TLS, certificate=chain[0])
        self._session = server.new_session(peer, self._transport)

    def data_received(self, data: bytes) -> None:
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
        self._endpoint.protocols.discard(self)
        if self._session is not None:
            self._session.connection_lost()
        if not self.closed.done():
            self.closed.set_result(None)

    def drop(self) -> None:
        """The server ends."""
        if self._transport is not None:
            self._transport.close()


def _chain(tls: ssl.SSLObject) -> list[bytes]:
    """The verified chain, client first, as DER (Python 3.13; before it, the client's certificate only).

    OpenSSL does not promise the chain (SSL_get0_verified_chain(3)); the certificate itself is always there, because a
    handshake without one fails.
    """
    if hasattr(tls, "get_verified_chain") and (chain := list(tls.get_verified_chain())):
        return chain
    certificate = tls.getpeercert(binary_form=True)
    return [certificate] if certificate else []

"""HTTPS servers: uvicorn's HTTP/1.1 on an accept loop of our own.

asyncio's own servers swallow a failed TLS handshake. Here each is reported (`Listener.on_refused`), because somebody at
the door with a wrong certificate is an alarm. Handshakes, request heads and bodies have deadlines, connections and
bodies limits.

An application finds in `scope["state"]`: `peer_certificate` (DER of the *verified* client certificate, or None) and
`order` (id of the order from the W3C `baggage` header, or None; the log's context variable has it, too).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from yangkit import memory, tls_buffers

from stackkit.gateway import Gateway
from stackkit.protocol import Protocol, State

tls_buffers.lessen()
log = logging.getLogger(__name__)

# Closing counts the time in which a slow client takes the rest of its answer.
_CLOSE_SECONDS = 15.0
# When we stop, clients with idle connections have this long to say farewell; many never do (they do not read).
_FAREWELL_SECONDS = 0.5

Context = ssl.SSLContext | Callable[[], ssl.SSLContext]


@dataclass(frozen=True)
class Listener:
    """Where to listen, and for whom.

    `ssl` is a context or a function that gives the one for the next handshake (`tls.Contexts`). `on_refused(peer_ip,
    reason)` is called for every handshake that fails and every connection over a limit. `app` serves here instead of
    the common one.
    """

    host: str
    port: int
    ssl: Context
    on_refused: Callable[[str, str], None] | None = None
    app: ASGIApp | None = None
    limit: int = 1024
    limit_per_peer: int | None = None
    handshake_seconds: float = 5.0


class StartError(Exception):
    """The server cannot start; the text names the address or the application's reason."""


class Server:
    """Several listeners of one process; `start`, then `stop`. `serve` does both around SIGTERM."""

    def __init__(
        self, app: ASGIApp | None, listeners: Sequence[Listener], *, grace: float = 5.0, max_body: int = 1 << 20
    ) -> None:
        self._grace = grace
        self._gateways: dict[int, Gateway] = {}
        self._doors: list[_Door] = []
        self._lifespans: list[LifespanOn] = []
        for listener in listeners:
            served = listener.app or app
            if served is None:
                raise ValueError(f"no application for {listener.host}:{listener.port}")
            gateway = self._gateways.setdefault(id(served), Gateway(served, max_body))
            self._doors.append(_Door(listener, gateway))

    @property
    def ports(self) -> list[int]:
        """The port of each listener; tells what port 0 became."""
        return [door.port for door in self._doors]

    async def start(self) -> None:
        """Bind all addresses, start the applications, then let clients in.

        Raises:
            StartError: an address cannot be bound, or an application failed in its lifespan's start.
        """
        try:
            for door in self._doors:
                door.bind()
            for gateway in self._gateways.values():
                await self._start_lifespan(gateway)
        except BaseException:
            await self.stop()
            raise
        for door in self._doors:
            door.open()

    async def _start_lifespan(self, gateway: Gateway) -> None:
        config = Config(
            gateway,
            http="httptools",
            ws="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        config.load()
        lifespan = LifespanOn(config)
        await lifespan.startup()
        if lifespan.should_exit:
            raise StartError("the application failed to start; the log has the reason")
        self._lifespans.append(lifespan)
        for door in self._doors:
            if door.gateway is gateway:
                door.prepare(config, lifespan.state)

    async def stop(self) -> None:
        """Let nobody in any more, end event streams, give requests `grace` seconds, then stop the applications."""
        for door in self._doors:
            door.close()
        for gateway in self._gateways.values():
            gateway.end_streams()
        try:
            async with asyncio.timeout(self._grace):
                await asyncio.gather(*(door.drained() for door in self._doors))
        except TimeoutError:
            log.warning("requests still run %g s after the stop; cutting them", self._grace)
            await asyncio.gather(*(door.cut() for door in self._doors))
        while self._lifespans:
            await self._lifespans.pop().shutdown()


async def serve(
    app: ASGIApp | None,
    listeners: Sequence[Listener],
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[Server], None] | None = None,
    grace: float = 5.0,
    max_body: int = 1 << 20,
) -> None:
    """Serve until SIGTERM or SIGINT (or until `stop` is set); return when everything has ended.

    `ready(server)` is called once clients are let in. Raises what `Server.start` raises.
    """
    stop = stop or asyncio.Event()
    server = Server(app, listeners, grace=grace, max_body=max_body)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    tidying = asyncio.create_task(memory.keep_giving_back(), name="memory")
    try:
        await server.start()
        log.info(
            "serving on %s", ", ".join(f"{one.host}:{port}" for one, port in zip(listeners, server.ports, strict=True))
        )
        if ready is not None:
            ready(server)
        try:
            await stop.wait()
        finally:
            log.info("stopping")
            await server.stop()
    finally:
        tidying.cancel()
        for number in signals:
            loop.remove_signal_handler(number)


class _Door:
    """One listener at work: its socket, its handshakes, its connections."""

    def __init__(self, listener: Listener, gateway: Gateway) -> None:
        self.listener = listener
        self.gateway = gateway
        self.state = State()
        self._socket: socket.socket | None = None
        self._config: Config | None = None
        self._app_state: dict[str, object] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._peers: Counter[str] = Counter()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1]) if self._socket is not None else self.listener.port

    def bind(self) -> None:
        host, port = self.listener.host, self.listener.port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=256)
            self._socket.setblocking(False)
        except OSError as error:
            raise StartError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None

    def prepare(self, config: Config, app_state: dict[str, object]) -> None:
        self._config, self._app_state = config, app_state

    def open(self) -> None:
        self._accepting = asyncio.create_task(self._accept(), name=f"accept {self.listener.host}:{self.port}")

    def close(self) -> None:
        """Stop accepting and ask connections to end; `drained` waits for that."""
        if self._accepting is not None:
            self._accepting.cancel()
        for handshake in self._handshakes:
            handshake.cancel()
        if self._socket is not None:
            self._socket.close()
        for connection in list(self.state.connections):
            connection.shutdown()

    async def drained(self) -> None:
        tasks = [task for task in (self._accepting, *self._handshakes) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        while self.state.tasks:
            await asyncio.wait(set(self.state.tasks))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self.state.empty.wait()
        for connection in list(self.state.connections):
            connection.transport.abort()
        await self.state.empty.wait()

    async def cut(self) -> None:
        tasks = set(self.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        for connection in list(self.state.connections):
            connection.transport.abort()

    async def _accept(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._socket)
            except OSError as error:
                # Out of descriptors or memory, or the peer has gone already: what ends frees some, so
                # go on a little later.
                log.warning("cannot accept on port %d: %s", self.port, error)
                await asyncio.sleep(0.1)
                continue
            peer = str(address[0]).removeprefix("::ffff:")
            full = self._full(peer)
            if full is not None:
                accepted.close()
                self._refused(peer, full)
                continue
            self._peers[peer] += 1
            task = loop.create_task(self._handshake(accepted, peer))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _full(self, peer: str) -> str | None:
        """Why this peer's connection is one too many, or None."""
        if self._peers.total() >= self.listener.limit:
            return f"too many connections: {self.listener.limit} are open"
        limit = self.listener.limit_per_peer
        if limit is not None and self._peers[peer] >= limit:
            return f"too many connections: {limit} are open from this address"
        return None

    def _left(self, peer: str) -> None:
        self._peers[peer] -= 1
        if self._peers[peer] <= 0:
            del self._peers[peer]

    async def _handshake(self, accepted: socket.socket, peer: str) -> None:
        assert self._config is not None
        config = self._config
        made: list[Protocol] = []

        def protocol() -> Protocol:
            made.append(Protocol(config, self.state, self._app_state, lambda: self._left(peer)))
            return made[0]

        deadline = self.listener.handshake_seconds
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            context = self.listener.ssl if isinstance(self.listener.ssl, ssl.SSLContext) else self.listener.ssl()
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, accepted, ssl=context, ssl_handshake_timeout=deadline, ssl_shutdown_timeout=_CLOSE_SECONDS
            )
        except OSError as error:
            self._refused(peer, reason(error, deadline))
        finally:
            if not (made and made[0].connected):
                accepted.close()
                self._left(peer)

    def _refused(self, peer: str, why: str) -> None:
        log.info("connection refused: %s", why, extra={"peer": peer, "port": self.port})
        if self.listener.on_refused is None:
            return
        with contextlib.suppress(asyncio.CancelledError):
            try:
                self.listener.on_refused(peer, why)
            except Exception:  # a reporter that fails must not end the server
                log.exception("on_refused failed")


def reason(error: OSError, deadline: float) -> str:
    """Why a handshake failed, in words whose beginning stays the same: alarms are told apart by it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return f"no handshake within {deadline:g} s"
    if isinstance(error, ssl.SSLError):
        name = error.reason or "unknown"
        if name == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return "no certificate: a client certificate is required here"
        if name in (
            "WRONG_VERSION_NUMBER",
            "HTTP_REQUEST",
            "UNEXPECTED_MESSAGE",
            "RECORD_LAYER_FAILURE",
            "PACKET_LENGTH_TOO_LONG",
        ):
            return f"not TLS: {name.lower()}"
        return f"TLS failed: {name.lower().replace('_', ' ')}"
    return "connection closed during the handshake"

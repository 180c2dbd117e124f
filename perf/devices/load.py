"""RESTCONF clients of the controller, each with a connection that stays: edits that are durable, and reads."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.orchestrator.client import PORTS
from harness.orchestrator.registry import YANG
from perf.devices.components import MANAGEMENT, Components
from perf.devices.orders import INTENT
from perf.lab import BenchmarkError

CLIENTS, READERS = 16, 10
SECONDS = 5.0
_GROWTH, _IDLE_TURNS, _MOST_TURNS = 1.1, 2, 10
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CUSTOMERS = ("one", "other")

Request = tuple[str, str, bytes | None]
Next = Callable[[int, int], Request]
"""Of a client's number and how many it has made: method, path and body of the next request."""


@dataclass
class Heard:
    """What one client heard."""

    seconds: list[float] = field(default_factory=list)
    octets: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Server:
    """Who is asked, over TLS if there is a context for it."""

    host: str
    port: int
    context: ssl.SSLContext | None
    token: str

    def answers(self) -> bool:
        try:
            with Connection(self):
                return True
        except OSError:
            return False


class Connection:
    """HTTP/1.1 as these servers speak it. http.client would take longer for a request than they do."""

    def __init__(self, server: Server) -> None:
        tcp = socket.create_connection((server.host, server.port), timeout=60)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = server.context
        self._socket = tcp if context is None else context.wrap_socket(tcp, server_hostname=server.host)
        self._heads = f"Host: {server.host}\r\nAuthorization: Bearer {server.token}\r\nAccept: {YANG}\r\n"
        self._heads += f"Content-Type: {YANG}\r\n"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        content = body or b""
        head = f"{method} {path} HTTP/1.1\r\n{self._heads}Content-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)
        said = b""
        while b"\r\n\r\n" not in said:
            said += self._more()
        told, _, rest = said.partition(b"\r\n\r\n")
        length = _LENGTH.search(told)
        if length is None and _CHUNKED.search(told):
            raise BenchmarkError(f"the answer to {method} {path} comes in chunks, which this client does not read")
        while length is not None and len(rest) < int(length[1]):
            rest += self._more()
        return int(told.split(b" ", 2)[1]), rest

    def _more(self) -> bytes:
        part = self._socket.recv(1 << 16)
        if not part:
            raise BenchmarkError("a connection was closed in the middle of an answer")
        return part


def controller(components: Components) -> Server:
    context = ssl.create_default_context(cafile=str(components.factory.service_ca))
    return Server(MANAGEMENT, PORTS["controller"], context, components.client.token())


def edit(client: int, turn: int) -> Request:
    """Each client changes a VPN of its own, again and again."""
    vpn = f"load-{client}"
    entry = {"vpn-id": vpn, "customer-name": f"{vpn}-{_CUSTOMERS[turn % 2]}"}
    body = json.dumps({"ietf-l3vpn-svc:vpn-service": [entry]}).encode()
    return "PUT", f"{INTENT}/vpn-services/vpn-service={vpn}", body


def edits(components: Components, clients: int = CLIENTS) -> dict[str, float]:
    """Every answer says that the change is on the disk."""
    return told("edits", drive(controller(components), edit, clients))


def reads(components: Components, devices: int) -> dict[str, float]:
    """The state of one device after the other."""

    def make(client: int, turn: int) -> Request:
        device = (client * 61 + turn) % devices + 1
        return "GET", f"/restconf/data/elasticlab-network:network/device=ucpe-{device:04d}", None

    return told("reads", drive(controller(components), make, READERS))


def steady(measure: Callable[[], dict[str, float]], rate: str) -> dict[str, float]:
    """Measure again until the rate has twice not grown by a tenth, and tell the best: a JVM compiles what it does
    often, and its first thousand requests say nothing of those that follow."""
    best, idle = measure(), 0
    for _ in range(_MOST_TURNS - 1):
        found = measure()
        idle = 0 if found[rate] > _GROWTH * best[rate] else idle + 1
        best = max(best, found, key=lambda one: one[rate])
        if idle == _IDLE_TURNS:
            break
    return best


def drive(server: Server, make: Next, clients: int = CLIENTS) -> tuple[list[Heard], float]:
    """So many clients that each ask again when they have their answer; what they heard, and in how many seconds."""
    heard = [Heard() for _ in range(clients)]
    end = time.monotonic() + SECONDS

    def client(number: int) -> None:
        with Connection(server) as connection:
            turn = 0
            while (begun := time.monotonic()) < end:
                method, path, body = make(number, turn)
                status, said = connection.ask(method, path, body)
                heard[number].seconds.append(time.monotonic() - begun)
                heard[number].octets += len(said)
                if status >= 300:
                    heard[number].failures.append(f"{method} {path}: {status} {said[:200]!r}")
                turn += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard, time.monotonic() - begun


def told(name: str, run: tuple[list[Heard], float]) -> dict[str, float]:
    """Figures; BenchmarkError when a request failed."""
    heard, seconds = run
    failures = [text for one in heard for text in one.failures]
    if failures:
        raise BenchmarkError(f"{len(failures)} {name} failed, for example {failures[0]}")
    took = sorted(second for one in heard for second in one.seconds)
    if not took:
        raise BenchmarkError(f"no {name} were answered")
    found = {f"{name} a second": len(took) / seconds, f"{name}, p99 ms": 1000 * took[int(len(took) * 0.99)]}
    octets = sum(one.octets for one in heard)
    return found | ({f"{name}, octets": octets / len(took)} if octets else {})

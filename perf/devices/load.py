"""RESTCONF clients of the controller, each with a connection that stays: edits that are durable, and reads."""

from __future__ import annotations

import contextlib
import http.client
import json
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

CLIENTS = 16
SECONDS = 5.0
_CUSTOMERS = ("one", "other")

Request = tuple[str, str, bytes | None]
Next = Callable[[int, int], Request]
"""Of a client's number and how many it has made: method, path and body of the next request."""


@dataclass
class Heard:
    """What one client heard."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def edits(components: Components) -> dict[str, float]:
    """Each client changes a VPN of its own, again and again; every answer says that the change is on the disk."""

    def make(client: int, turn: int) -> Request:
        vpn = f"load-{client}"
        entry = {"vpn-id": vpn, "customer-name": f"{vpn}-{_CUSTOMERS[turn % 2]}"}
        body = json.dumps({"ietf-l3vpn-svc:vpn-service": [entry]}).encode()
        return "PUT", f"{INTENT}/vpn-services/vpn-service={vpn}", body

    return _told("edits", _drive(components, make))


def reads(components: Components, devices: int) -> dict[str, float]:
    """The state of one device after the other."""

    def make(client: int, turn: int) -> Request:
        device = (client * 61 + turn) % devices + 1
        return "GET", f"/restconf/data/elasticlab-network:network/device=ucpe-{device:04d}", None

    return _told("reads", _drive(components, make))


def _drive(components: Components, make: Next) -> tuple[list[Heard], float]:
    token = components.client.token()
    context = ssl.create_default_context(cafile=str(components.factory.service_ca))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": YANG, "Accept": YANG}
    heard = [Heard() for _ in range(CLIENTS)]
    end = time.monotonic() + SECONDS

    def client(number: int) -> None:
        connection = http.client.HTTPSConnection(MANAGEMENT, PORTS["controller"], timeout=60, context=context)
        with contextlib.closing(connection):
            turn = 0
            while (begun := time.monotonic()) < end:
                method, path, body = make(number, turn)
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                said = answer.read()
                heard[number].seconds.append(time.monotonic() - begun)
                if answer.status >= 300:
                    heard[number].failures.append(f"{method} {path}: {answer.status} {said[:200]!r}")
                turn += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard, time.monotonic() - begun


def _told(name: str, run: tuple[list[Heard], float]) -> dict[str, float]:
    heard, seconds = run
    failures = [text for one in heard for text in one.failures]
    if failures:
        raise BenchmarkError(f"{len(failures)} {name} failed, for example {failures[0]}")
    took = sorted(second for one in heard for second in one.seconds)
    if not took:
        raise BenchmarkError(f"no {name} were answered")
    return {f"{name} a second": len(took) / seconds, f"{name}, p99 ms": 1000 * took[int(len(took) * 0.99)]}

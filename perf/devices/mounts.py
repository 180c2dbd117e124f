"""Devices as OpenDaylight's NETCONF topology has them, over RESTCONF (RFC 8040).

It is told of all of them at once, as our registry is, and says of each whether it is connected.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from harness.orchestrator.registry import YANG
from harness.wait import wait_for
from perf.devices import load, testtool
from perf.lab import BenchmarkError

TOPOLOGY = "/restconf/data/network-topology:network-topology/topology=topology-netconf"
_STATUS = "node-id;netconf-node-topology:netconf-node/connection-status"
_ONE = f"?content=nonconfig&fields={_STATUS}"
_ALL = f"{TOPOLOGY}?content=nonconfig&fields=node({_STATUS})"
_SECONDS = 600.0
_QUIET = 60.0
"""Seconds without one more device, and those that are not connected will not be."""
_LOOK = 5.0
"""Seconds between two looks at all of them while one is known not to be connected."""

Told = dict[str, Any]
Ask = Callable[[str], Told]
"""What it answers to a GET; an empty answer while it has nothing there."""


def name(number: int) -> str:
    return f"device-{number}"


def node(of: str) -> str:
    return f"{TOPOLOGY}/node={of}"


def topology(devices: int) -> Told:
    """All that it is told of so many devices of netconf-testtool."""
    told: Told = {"topology-id": "topology-netconf"}
    if devices:
        told["node"] = [_mount(number) for number in range(devices)]
    return {"network-topology:topology": [told]}


def _mount(number: int) -> Told:
    told = {
        "host": testtool.HOST,
        "port": testtool.FIRST_PORT + number,
        "tcp-only": True,
        "keepalive-delay": 0,
        "login-password-unencrypted": {"username": "admin", "password": "admin"},  # must be there; nobody asks for it
    }
    return {"node-id": name(number), "netconf-node-topology:netconf-node": told}


def connected(told: Told) -> list[str]:
    """The devices that it says are connected, in its answer about all of them or one."""
    nodes = [*told.get("network-topology:node", [])]
    nodes += [one for listed in told.get("network-topology:topology", []) for one in listed.get("node", [])]
    states = {
        one["node-id"]: one.get("netconf-node-topology:netconf-node", {}).get("connection-status") for one in nodes
    }
    return [of for of, state in states.items() if state == "connected"]


@dataclass
class Watch:
    """Who of so many is connected. To tell of all is work for it, which would be ours to blame: as long as one is known
    that is not, that one is asked of alone."""

    devices: int
    ask: Ask
    clock: Callable[[], float] = time.monotonic
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grew = self.clock()
        """When there was one more."""
        self._late, self._looked = "", self.grew

    def settled(self) -> bool:
        """All are, or it is long since there was one more."""
        now = self.clock()
        if self._late and now - self._looked < _LOOK and not connected(self.ask(f"{node(self._late)}{_ONE}")):
            return False
        self._looked = now
        seen = connected(self.ask(_ALL))
        if len(seen) > len(self.names):
            self.names, self.grew = seen, self.clock()
        missing = {name(number) for number in range(self.devices)} - set(seen)
        self._late = max(missing, default="")
        return len(self.names) == self.devices or now - self.grew > _QUIET


def connect(server: load.Server, devices: int) -> tuple[float, list[str]]:
    """Seconds until the last of them was connected, and which are: it may leave some at `connecting` for good."""
    begun = time.monotonic()
    _tell(server, devices)
    watch = Watch(devices, lambda path: _ask(server, path))
    what = f"{devices} devices are connected, or no more for {_QUIET:g} s"
    wait_for(what, watch.settled, _SECONDS, interval=0.05)
    if not watch.names:
        raise BenchmarkError(f"lighty has connected none of {devices} devices")
    return watch.grew - begun, watch.names


def forget(server: load.Server) -> None:
    """All of them, and until it has none."""
    _tell(server, 0)

    def gone() -> bool:
        listed = _ask(server, _ALL).get("network-topology:topology", [])
        return not any(one.get("node") for one in listed)

    wait_for("lighty has forgotten all devices", gone, _SECONDS, interval=0.2)


def _tell(server: load.Server, devices: int) -> None:
    """One request, whole: what it had before and is not in it, it forgets."""
    with load.Connection(server) as connection:
        status, said = connection.ask("PUT", TOPOLOGY, json.dumps(topology(devices)).encode())
    if status >= 300:
        raise BenchmarkError(f"lighty refuses {devices} devices, status {status}: {said[:300]!r}")


def _ask(server: load.Server, path: str) -> Told:
    """An answer that may come in chunks, which `load` does not read."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Accept": YANG})
        answer = connection.getresponse()
        said = answer.read()
    if answer.status in (404, 409):  # data-missing: ours and RFC 8040 say 404, it says 409
        return {}
    if answer.status != 200:
        raise BenchmarkError(f"lighty answers {answer.status} to GET {path}: {said[:300]!r}")
    told: Told = json.loads(said)
    return told

"""A real OpenDaylight controller (lighty.io) as a peer of ours: how soon it connects devices, how it reads, its memory.

The devices are netconf-testtool's, over plain TCP, which takes it less than SSH or TLS would. It is told of all of them
over RESTCONF (RFC 8040). It is read in two ways: the state of a device through its mount point, for which it asks the
device, and what it knows of the device itself.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from harness.build.progress import Progress
from harness.build.store import Store
from harness.orchestrator.registry import YANG
from harness.paths import REPOSITORY
from harness.wait import wait_for
from perf.devices import load, maven, testtool
from perf.lab import BenchmarkError

VERSION = "21.1.0"
HERE = REPOSITORY / "perf/peers/lighty"
JARS = HERE / "jars.txt"
_HOST, _PORT = "127.0.0.1", 18_181
_TOPOLOGY = "/restconf/data/network-topology:network-topology/topology=topology-netconf"
_STATUS = f"{_TOPOLOGY}?content=nonconfig&fields=node(node-id;netconf-node-topology:netconf-node/connection-status)"
_MOUNTED = "yang-ext:mount/ietf-netconf-monitoring:netconf-state?content=nonconfig"
_SECONDS = 600.0
_QUIET = 60.0
"""Seconds without one more device, and those that are not connected will not be."""
# What its libraries reach into; without these it does not start on a Java of today.
_OPENS = ("java.base/java.lang=ALL-UNNAMED", "java.base/sun.nio.ch=ALL-UNNAMED")


def fetch(store: Store, progress: Progress) -> Path:
    """The folder with all that it consists of, in the cache."""
    folder = store.folder("maven") / f"lighty-{VERSION}"
    with store.locked(f"lighty-{VERSION}", "lighty", progress):
        folder.mkdir(exist_ok=True)
        wanted = maven.missing(maven.listed(JARS), folder)
        if wanted:
            progress.step("lighty", f"fetching {len(wanted)} libraries")
        with ThreadPoolExecutor(8) as several:
            list(several.map(lambda jar: maven.take(jar, folder), wanted))
    return folder


def measure(jar: Path, libraries: Path, place: Path, devices: int) -> dict[str, float]:
    """As many devices as of ours, connected and read."""
    with testtool.devices(jar, place, devices), _controller(libraries, place) as (started, process):
        found = {"start s": started, "start MB": testtool.resident_mb(process)}
        server = load.Server(_HOST, _PORT, None, "")
        found["connect s"], names = _connect(server, devices)
        found["not connected"] = devices - len(names)
        found["controller MB"] = testtool.resident_mb(process)
        found["controller MB a device"] = found["controller MB"] / devices
        found |= _read(server, "reads", names, f"/{_MOUNTED}")
        return found | _read(server, "own reads", names, "?content=nonconfig")


def _connect(server: load.Server, devices: int) -> tuple[float, list[str]]:
    """Seconds until the last of them was connected, and which are: it may leave some at `connecting` for good."""
    begun = time.monotonic()
    _tell(server, devices)
    names: list[str] = []
    last = time.monotonic()

    def settled() -> bool:
        nonlocal names, last
        now = connected(_told())
        if len(now) > len(names):
            names, last = now, time.monotonic()
        return len(names) == devices or time.monotonic() - last > _QUIET

    wait_for(f"{devices} devices are connected, or no more for {_QUIET:g} s", settled, _SECONDS, interval=0.2)
    if not names:
        raise BenchmarkError(f"lighty has connected none of {devices} devices")
    return last - begun, names


def node(name: str) -> str:
    return f"{_TOPOLOGY}/node={name}"


def mount(number: int) -> dict[str, Any]:
    """What it is told of a device."""
    told = {
        "host": _HOST,
        "port": testtool.FIRST_PORT + number,
        "tcp-only": True,
        "keepalive-delay": 0,
        "login-password-unencrypted": {"username": "admin", "password": "admin"},  # must be there; nobody asks for it
    }
    return {"network-topology:node": [{"node-id": f"device-{number}", "netconf-node-topology:netconf-node": told}]}


def connected(told: dict[str, Any]) -> list[str]:
    """The devices that it says are connected, in its answer to `_STATUS`."""
    nodes = [one for topology in told["network-topology:topology"] for one in topology.get("node", [])]
    states = {
        one["node-id"]: one.get("netconf-node-topology:netconf-node", {}).get("connection-status") for one in nodes
    }
    return [name for name, state in states.items() if state == "connected"]


def _read(server: load.Server, name: str, names: Sequence[str], what: str) -> dict[str, float]:
    """One device after the other."""

    def make(client: int, turn: int) -> load.Request:
        return "GET", f"{node(names[(client * 61 + turn) % len(names)])}{what}", None

    return load.steady(lambda: load.told(name, load.drive(server, make)), f"{name} a second")


def _tell(server: load.Server, devices: int) -> None:
    """It, of all devices; as many clients as read it later."""

    def some(first: int) -> None:
        with load.Connection(server) as connection:
            for number in range(first, devices, load.CLIENTS):
                status, said = connection.ask("PUT", node(f"device-{number}"), json.dumps(mount(number)).encode())
                if status >= 300:
                    raise BenchmarkError(f"lighty refuses device {number}, status {status}: {said[:300]!r}")

    with ThreadPoolExecutor(load.CLIENTS) as several:
        list(several.map(some, range(load.CLIENTS)))


def _told() -> dict[str, Any]:
    """What it says of all devices: an answer that may come in chunks."""
    with closing(http.client.HTTPConnection(_HOST, _PORT, timeout=60)) as connection:
        connection.request("GET", _STATUS, headers={"Accept": YANG})
        answer = connection.getresponse()
        said = answer.read()
    if answer.status != 200:
        raise BenchmarkError(f"lighty answers {answer.status} when asked for its devices: {said[:300]!r}")
    told: dict[str, Any] = json.loads(said)
    return told


def command(libraries: Path, hosts: Path) -> Sequence[str]:
    """Java compiles the program as it starts: no JDK is needed."""
    path = ":".join(str(libraries / jar.name) for jar in maven.listed(JARS))
    opens = [f"--add-opens={one}" for one in _OPENS]
    return ["java", f"-Djdk.net.hosts.file={hosts}", *opens, "-cp", path, str(HERE / "Lighty.java"), str(_PORT)]


@contextmanager
def _controller(libraries: Path, place: Path) -> Iterator[tuple[float, subprocess.Popen[bytes]]]:
    """It, as it is ready for devices, and the seconds until then."""
    log, hosts = place / "lighty.log", place / "hosts"
    # It asks for the address of the machine's own name, which nobody knows in a namespace without a network.
    hosts.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(libraries, hosts), cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def ready() -> bool:
        said = log.read_bytes()
        if process.poll() is not None or b"Exception in thread" in said:
            raise BenchmarkError(f"lighty does not start: {said[-1000:].decode(errors='replace')}")
        return b"ready" in said.splitlines()

    try:
        wait_for("lighty is ready", ready, _SECONDS)
        yield time.monotonic() - begun, process
    finally:
        process.kill()
        process.wait()

"""A real OpenDaylight controller (lighty.io) as a peer of ours: how soon it connects devices, how it reads, its memory.

The devices are netconf-testtool's, over plain TCP, which takes it less than SSH or TLS would (`perf.devices.mounts`).
It is read in two ways over RESTCONF (RFC 8040): what it knows of a device itself, as ours does, and the state of a
device through its mount point, for which it asks the device.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness.build.progress import Progress
from harness.build.store import Store
from harness.paths import REPOSITORY
from harness.wait import wait_for
from perf.devices import load, maven, mounts, testtool
from perf.lab import BenchmarkError

VERSION = "21.1.0"
HERE = REPOSITORY / "perf/peers/lighty"
JARS = HERE / "jars.txt"
_PORT = 18_181
_MOUNTED = "yang-ext:mount/ietf-netconf-monitoring:netconf-state?content=nonconfig"
_SECONDS = 600.0
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
    """As many devices as of ours, connected and read; connected twice, since a JVM compiles what it does while it does
    it for the first time, and ours has nothing to compile."""
    with testtool.devices(jar, place, devices), _controller(libraries, place) as (started, process):
        found = {"start s": started, "start MB": testtool.resident_mb(process)}
        server = load.Server(testtool.HOST, _PORT, None, "")
        found["first connect s"], names = mounts.connect(server, devices)
        found["not connected at first"] = devices - len(names)
        found["controller MB"] = testtool.resident_mb(process)
        found["controller MB a device"] = found["controller MB"] / devices
        mounts.forget(server)
        found["connect s"], names = mounts.connect(server, devices)
        found["not connected"] = devices - len(names)
        found |= _read(server, "mounted reads", names, f"/{_MOUNTED}")
        return found | _read(server, "own reads", names, "?content=nonconfig")


def _read(server: load.Server, name: str, names: Sequence[str], what: str) -> dict[str, float]:
    """One device after the other."""

    def make(client: int, turn: int) -> load.Request:
        return "GET", f"{mounts.node(names[(client * 61 + turn) % len(names)])}{what}", None

    return load.steady(lambda: load.told(name, load.drive(server, make, load.READERS)), f"{name} a second")


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

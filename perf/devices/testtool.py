"""OpenDaylight's simulator of NETCONF devices, as a peer of ours: how long it takes to start, and its memory."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.build.progress import Progress
from harness.build.store import Store
from harness.wait import wait_for
from perf.devices import maven
from perf.lab import BenchmarkError

VERSION = "10.0.2"
JAR = maven.Jar(
    f"org/opendaylight/netconf/netconf-testtool/{VERSION}/netconf-testtool-{VERSION}-executable.jar",
    "602b39a07f3d675a348a064e038a80afe9c41f912eb128c7ef4e5b041ab2bd5c",
)
FIRST_PORT = 20_000
_SECONDS = 300.0
_HELLO = (
    b'<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>'
    b"<capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>]]>]]>"
)


def fetch(store: Store, progress: Progress) -> Path:
    """The program, in the cache."""
    folder = store.folder("maven")
    with store.locked(f"maven-{VERSION}", "netconf-testtool", progress):
        if maven.missing([JAR], folder):
            progress.step("netconf-testtool", "fetching")
            maven.take(JAR, folder)
    return folder / JAR.name


def measure(jar: Path, place: Path, count: int) -> dict[str, float]:
    """As many devices as of ours, with a session each; over plain TCP, which takes it less than SSH would."""
    found: dict[str, float] = {}
    alone = _run(jar, place, 1)
    many = _run(jar, place, count)
    found["start s"] = many[0]
    found["MB a device"] = (many[1] - alone[1]) / max(count - 1, 1)
    found["MB in all"] = many[1]
    found["hello s"] = many[2]
    return found


def _run(jar: Path, place: Path, count: int) -> tuple[float, float, float]:
    """Seconds until every device has its port, MB with a session each, seconds for these sessions."""
    sessions: list[socket.socket] = []
    with devices(jar, place, count) as (started, process):
        try:
            begun = time.monotonic()
            for port in range(FIRST_PORT, FIRST_PORT + count):
                tcp = socket.create_connection(("127.0.0.1", port), timeout=60)
                sessions.append(tcp)
                tcp.sendall(_HELLO)
            for tcp in sessions:
                _greeted(tcp)
            return started, resident_mb(process), time.monotonic() - begun
        finally:
            for tcp in sessions:
                tcp.close()


@contextmanager
def devices(jar: Path, place: Path, count: int) -> Iterator[tuple[float, subprocess.Popen[bytes]]]:
    """So many of them, on ports one after the other, and the seconds until the last one listened."""
    last = FIRST_PORT + count - 1
    log = place / f"testtool-{count}.log"
    command = ["java", "-jar", str(jar), "--device-count", str(count), "--ssh", "false", "--ip", "127.0.0.1"]
    command += ["--starting-port", str(FIRST_PORT), "--exi", "false"]
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listening() -> bool:
        if process.poll() is not None:
            raise BenchmarkError(f"netconf-testtool has ended: {log.read_text()[-1000:]}")
        with socket.socket() as tcp:
            return tcp.connect_ex(("127.0.0.1", last)) == 0

    try:
        wait_for("the last device of netconf-testtool listens", listening, _SECONDS)
        yield time.monotonic() - begun, process
    finally:
        process.kill()
        process.wait()


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """What a process has in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _greeted(tcp: socket.socket) -> None:
    said = b""
    while b"]]>]]>" not in said:
        more = tcp.recv(65536)
        if not more:
            raise BenchmarkError("a device of netconf-testtool closed its session")
        said += more

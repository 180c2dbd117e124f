"""OpenDaylight's simulator of NETCONF devices, as a peer of ours: how long it takes to start, and its memory."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from harness.build.progress import Progress
from harness.build.store import Store
from harness.wait import wait_for
from perf.lab import BenchmarkError

VERSION = "10.0.2"
SHA256 = "602b39a07f3d675a348a064e038a80afe9c41f912eb128c7ef4e5b041ab2bd5c"
PLACE = f"org/opendaylight/netconf/netconf-testtool/{VERSION}/netconf-testtool-{VERSION}-executable.jar"
_CENTRAL = "https://repo.maven.apache.org/maven2"
_FIRST_PORT = 20_000
_SECONDS = 300.0
_HELLO = (
    b'<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>'
    b"<capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>]]>]]>"
)


def fetch(store: Store, progress: Progress) -> Path:
    """The program, in the cache; taken from Maven Central (or the mirror that $MAVEN_CENTRAL names) by its hash."""
    target = store.folder("maven") / Path(PLACE).name
    with store.locked(f"maven-{VERSION}", "netconf-testtool", progress):
        if not target.is_file():
            url = f"{os.environ.get('MAVEN_CENTRAL', _CENTRAL)}/{PLACE}"
            progress.step("netconf-testtool", "fetching")
            try:
                with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - of https, or the user's own
                    content: bytes = answer.read()
            except OSError as error:
                raise BenchmarkError(f"{url} cannot be had ({error}); set MAVEN_CENTRAL to a mirror") from error
            if hashlib.sha256(content).hexdigest() != SHA256:
                raise BenchmarkError(f"{url} is not what was pinned: its SHA-256 is not {SHA256}")
            beside = target.with_suffix(".new")
            beside.write_bytes(content)
            beside.replace(target)
    return target


def measure(jar: Path, place: Path, devices: int) -> dict[str, float]:
    """As many devices as of ours, with a session each; over plain TCP, which takes it less than SSH would."""
    found: dict[str, float] = {}
    alone = _run(jar, place, 1)
    many = _run(jar, place, devices)
    found["start s"] = many[0]
    found["MB a device"] = (many[1] - alone[1]) / max(devices - 1, 1)
    found["MB in all"] = many[1]
    found["hello s"] = many[2]
    return found


def _run(jar: Path, place: Path, devices: int) -> tuple[float, float, float]:
    """Seconds until every device has its port, MB with a session each, seconds for these sessions."""
    last = _FIRST_PORT + devices - 1
    log = place / f"testtool-{devices}.log"
    command = ["java", "-jar", str(jar), "--device-count", str(devices), "--ssh", "false", "--ip", "127.0.0.1"]
    command += ["--starting-port", str(_FIRST_PORT), "--exi", "false"]
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listening() -> bool:
        if process.poll() is not None:
            raise BenchmarkError(f"netconf-testtool has ended: {log.read_text()[-1000:]}")
        with socket.socket() as tcp:
            return tcp.connect_ex(("127.0.0.1", last)) == 0

    sessions: list[socket.socket] = []
    try:
        wait_for("the last device of netconf-testtool listens", listening, _SECONDS)
        started = time.monotonic() - begun
        begun = time.monotonic()
        for port in range(_FIRST_PORT, last + 1):
            tcp = socket.create_connection(("127.0.0.1", port), timeout=60)
            sessions.append(tcp)
            tcp.sendall(_HELLO)
        for tcp in sessions:
            _greeted(tcp)
        greeted = time.monotonic() - begun
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        assert resident is not None
        return started, int(resident[1]) / 1024, greeted
    finally:
        for tcp in sessions:
            tcp.close()
        process.kill()
        process.wait()


def _greeted(tcp: socket.socket) -> None:
    said = b""
    while b"]]>]]>" not in said:
        more = tcp.recv(65536)
        if not more:
            raise BenchmarkError("a device of netconf-testtool closed its session")
        said += more

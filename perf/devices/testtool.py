"""OpenDaylight's simulator of NETCONF devices, as a peer of ours: how long it takes to start, and its memory."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncssh

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
HOST, FIRST_PORT = "127.0.0.1", 20_000
_SECONDS = 300.0
# A JVM takes memory in advance, and as much as garbage needs. This one collects each second, all of it, and gives back
# what is left over (JEP 346), and leaves out the compiler that takes most: what it then has it cannot do without.
_TIGHT = (
    "-XX:+UseG1GC", "-Xms8m", "-XX:G1PeriodicGCInterval=1000", "-XX:-G1PeriodicGCInvokesConcurrent",
    "-XX:MinHeapFreeRatio=2", "-XX:MaxHeapFreeRatio=5", "-XX:TieredStopAtLevel=1",
)  # fmt: skip
_MOST_ENCRYPTED = 100
"""It takes long to make keys: as many are enough to tell megabytes of one from what settles differently each time."""
_SLACK_MB, _LOOKS, _INTERVAL = 1.0, 20, 0.5
"""It has settled when of so many looks, with such a pause, no two differ by more."""
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
    """As many devices as of ours, with a session each, over plain TCP: it takes them less than SSH would.

    The whole process is as it starts by itself. What a device takes of it is told by some that keep nothing in advance,
    with sessions that are encrypted, as ours are, and with plain ones.
    """
    found: dict[str, float] = {}
    with devices(jar, place, count) as (found["start s"], process), _sessions(count) as found["hello s"]:
        found["MB in all"] = resident_mb(process)
    encrypted = min(count, _MOST_ENCRYPTED)
    found["MB a device"] = _grown(jar, place, encrypted, ssh=True)
    return found | {"MB a device, plain": _grown(jar, place, count, ssh=False)}


def _grown(jar: Path, place: Path, count: int, *, ssh: bool) -> float:
    """MB for each device and its session, beyond the first."""
    alone, many = (_tight_mb(jar, place, some, ssh=ssh) for some in (1, count))
    return (many - alone) / max(count - 1, 1)


def _tight_mb(jar: Path, place: Path, count: int, *, ssh: bool) -> float:
    """Of one without slack."""
    seen: list[float] = []
    sessions = _ssh_sessions if ssh else _sessions
    with devices(jar, place, count, _TIGHT, ssh=ssh) as (_, process), sessions(count):

        def settled() -> bool:
            seen.append(resident_mb(process))
            last = seen[-_LOOKS:]
            return len(last) == _LOOKS and max(last) - min(last) < _SLACK_MB

        wait_for("netconf-testtool gives no more memory back", settled, _SECONDS, interval=_INTERVAL)
    return seen[-1]


@contextmanager
def _sessions(count: int) -> Iterator[float]:
    """One with each device, and the seconds until all had greeted."""
    with ExitStack() as open_ones:
        begun = time.monotonic()
        tcps = []
        for port in range(FIRST_PORT, FIRST_PORT + count):
            tcps.append(open_ones.enter_context(socket.create_connection((HOST, port), timeout=60)))
            tcps[-1].sendall(_HELLO)
        for tcp in tcps:
            _greeted(tcp)
        yield time.monotonic() - begun


@contextmanager
def _ssh_sessions(count: int) -> Iterator[float]:
    """The same as RFC 6242 has it."""
    begun = time.monotonic()
    with asyncio.Runner() as runner:
        tcps = runner.run(_all_ssh(count))
        yield time.monotonic() - begun
        for tcp in tcps:
            tcp.abort()


async def _all_ssh(count: int) -> list[asyncssh.SSHClientConnection]:
    some = asyncio.Semaphore(8)

    async def one(port: int) -> asyncssh.SSHClientConnection:
        async with some:
            tcp = await asyncssh.connect(
                HOST, port, username="admin", password="admin",  # noqa: S106 - it takes any
                known_hosts=None, client_keys=None, config=None, connect_timeout=_SECONDS, login_timeout=_SECONDS,
            )  # fmt: skip
            to, back, _ = await tcp.open_session(subsystem="netconf", encoding=None)
            to.write(_HELLO)
            await back.readuntil(b"]]>]]>")
            return tcp

    return await asyncio.gather(*(one(FIRST_PORT + number) for number in range(count)))


@contextmanager
def devices(
    jar: Path, place: Path, count: int, options: Sequence[str] = (), *, ssh: bool = False
) -> Iterator[tuple[float, subprocess.Popen[bytes]]]:
    """So many of them, on ports one after the other, and the seconds until the last one listened."""
    last = FIRST_PORT + count - 1
    log = place / f"testtool-{count}.log"
    command = ["java", *options, "-jar", str(jar), "--device-count", str(count), "--ip", HOST]
    command += ["--ssh", str(ssh).lower()]
    command += ["--starting-port", str(FIRST_PORT), "--exi", "false"]
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listening() -> bool:
        if process.poll() is not None:
            raise BenchmarkError(f"netconf-testtool has ended: {log.read_text()[-1000:]}")
        with socket.socket() as tcp:
            return tcp.connect_ex((HOST, last)) == 0

    try:
        wait_for("the last device of netconf-testtool listens", listening, _SECONDS)
        yield time.monotonic() - begun, process
    finally:
        process.kill()
        process.wait()


def resident_mb(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> float:
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

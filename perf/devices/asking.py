"""A client of agents over SSH, the same for all: how many sessions greet each other, read and commit, in a second.

What it sends is made beforehand, and what comes back is looked at no further than whether it is an error: it is what an
agent does that is measured. A session is asked again when it has answered; ten are asked at once.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from perf.devices import agents, testtool
from perf.devices.beside import COMMITS, GETS, HELLOS, MEMORY, STARTED
from perf.devices.load import READERS
from perf.lab import BenchmarkError

SECONDS = 3.0
_AT_ONCE = 8
"""Sessions that are being opened."""
_DEADLINE = 300.0
_END = b"]]>]]>"
_BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
_HELLO = f"""<hello xmlns="{_BASE}"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability>
</capabilities></hello>"""
_GET = "<get-config><source><running/></source></get-config>"
_EDIT = """<edit-config><target><candidate/></target><config><interfaces
xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces"><interface><name>wan</name><description>{}</description></interface>
</interfaces></config></edit-config>"""


def _rpc(inside: str) -> bytes:
    return f'<rpc message-id="1" xmlns="{_BASE}">{inside}</rpc>'.encode() + _END


READ = (_rpc(_GET),)
EDITS = tuple((_rpc(_EDIT.format(text)), _rpc("<commit/>")) for text in ("one", "other"))
"""By turns, so that there is always something to commit."""


class Session:
    """One with an agent, which has greeted."""

    def __init__(
        self, tcp: asyncssh.SSHClientConnection, to: asyncssh.SSHWriter[bytes], back: asyncssh.SSHReader[bytes]
    ):
        self.tcp, self._to, self._back = tcp, to, back
        self.turn = 0

    @classmethod
    async def open(cls, port: int, folder: Path) -> Session:
        tcp = await asyncssh.connect(
            agents.HOST, port, username=agents.USER, client_keys=[str(folder / agents.CLIENT_KEY)], config=None,
            known_hosts=None, compression_algs=None, connect_timeout=_DEADLINE, login_timeout=_DEADLINE,
        )  # fmt: skip
        to, back, _ = await tcp.open_session(subsystem=agents.SUBSYSTEM, encoding=None)
        found = cls(tcp, to, back)
        await found.ask(_HELLO.encode() + _END)
        return found

    async def ask(self, message: bytes) -> None:
        self._to.write(message)
        if b"<rpc-error" in (said := await self._back.readuntil(_END)):
            raise BenchmarkError(f"an agent answers {said[:500]!r}")


async def rate(sessions: Sequence[Session], turns: Sequence[Sequence[bytes]]) -> float:
    """How often in a second all messages of a turn are answered; each of those who ask has sessions of its own."""
    end = time.monotonic() + SECONDS
    done = 0

    async def ask(own: Sequence[Session]) -> None:
        nonlocal done
        number = 0
        while time.monotonic() < end:
            session = own[number % len(own)]
            number += 1
            for message in turns[session.turn % len(turns)]:
                await session.ask(message)
            session.turn += 1
            done += 1

    begun = time.monotonic()
    async with asyncio.TaskGroup() as all_of_them:
        for number in range(min(READERS, len(sessions))):
            all_of_them.create_task(ask(sessions[number::READERS]))
    return done / (time.monotonic() - begun)


async def _measure(count: int, folder: Path) -> tuple[dict[str, float], list[Session]]:
    some = asyncio.Semaphore(_AT_ONCE)

    async def opened(port: int) -> Session:
        async with some:
            return await Session.open(port, folder)

    begun = time.monotonic()
    sessions = await asyncio.gather(*(opened(agents.FIRST_PORT + number) for number in range(count)))
    found = {HELLOS: count / (time.monotonic() - begun)}
    found[GETS] = await rate(sessions, [READ])
    found[COMMITS] = await rate(sessions, EDITS)
    return found, sessions


def measure(kind: str, count: int, folder: Path) -> dict[str, float]:
    """Of so many agents in a process of their own."""
    agents.make_room()
    command = [sys.executable, "-m", "perf.devices.agents", kind, str(count), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not (said := process.stdout.readline()):
                raise BenchmarkError(f"{' '.join(command)} has ended before its agents listened")
            before = testtool.resident_mb(process)
            with asyncio.Runner() as runner:
                found, sessions = runner.run(_measure(count, folder))
                after = testtool.resident_mb(process)
                for session in sessions:
                    session.tcp.abort()
        finally:
            process.kill()
    return {
        STARTED: json.loads(said)["seconds"],
        MEMORY: after / count,
        "MB of a session": (after - before) / count,
        **found,
    }

"""Which uplinks lead somewhere, where a box has several: asked of its peers, over each uplink by itself.

The question is an IKE message of a version that nobody speaks: whoever speaks IKE answers it with INVALID_MAJOR_VERSION
and keeps nothing of it (RFC 7296, sections 1.5 and 2.5). So it takes the way that the tunnel would take, through the
same filters and NATs, and what is lost there without a word is noticed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from element import storage
from element.endurance import Endurance

log = logging.getLogger(__name__)

LOOK = 0.25
"""Seconds between two looks at the cables."""
INTERVAL = 0.5
ANSWER = 0.9
"""Seconds between two questions, and until the answer must be there."""
SILENT = 4
"""So many questions in a row without an answer, and it leads nowhere: after 3 s. After 5 s charon asks over the old way
whether the peer is there, and moves nothing before that has been answered."""
SOUND = 10
"""So many answers in a row: it leads somewhere again."""
LINKS = Path("/sys/class/net")

_IKE = 500
_HEADER = "!8s8sBBBBII"
_VERSION, _INFORMATIONAL, _FROM_INITIATOR = 0x30, 37, 0x08


class Ways(Protocol):
    """What is known of the ways out (``ElementBackend``)."""

    @property
    def uplinks(self) -> tuple[str, ...]:
        """Names of the uplinks."""

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses that must be reached."""

    async def fail(self, names: frozenset[str]) -> None:
        """These lead nowhere now, and those alone."""


Ask = Callable[[str, str], Awaitable[bool]]


class Uplinks:
    """Looks after them. What leads nowhere is remembered: a restart of the process must not move tunnels."""

    def __init__(self, ways: Ways, memory: Path, ask: Ask | None = None) -> None:
        self._ways = ways
        self._memory = memory
        self._ask = ask or answers
        self._failed = self._remembered()
        self._row: dict[str, int] = {}
        """Answers in a row, or silences, which count below zero."""
        self._open: set[asyncio.Task[None]] = set()
        self._endurance = Endurance(log, "which uplinks lead nowhere is not remembered")

    async def run(self) -> None:
        """Never ends by itself."""
        loop = asyncio.get_running_loop()
        await self._ways.fail(self._failed)
        asked = loop.time() - INTERVAL
        try:
            while True:
                names = self._ways.uplinks
                # Nothing comes of the cable of one that has no other beside it.
                plugged = [name for name in names if _carrier(name)] if len(names) > 1 else names
                if len(names) > 1 and loop.time() - asked >= INTERVAL:
                    asked = loop.time()
                    self._open |= {loop.create_task(self._question(name)) for name in plugged}
                for task in [task for task in self._open if task.done()]:
                    self._open.remove(task)
                    task.result()
                await self._judge(names, frozenset(names) - frozenset(plugged))
                await asyncio.sleep(LOOK)
        finally:
            for task in self._open:
                task.cancel()

    async def _question(self, name: str) -> None:
        """Any peer will do: one that is away says nothing about the way."""
        peers = self._ways.peers
        if not peers:
            self._row.pop(name, None)
            return
        sound = any(await asyncio.gather(*(self._ask(name, peer) for peer in peers)))
        row = self._row.get(name, 0)
        self._row[name] = max(row, 0) + 1 if sound else min(row, 0) - 1

    async def _judge(self, names: tuple[str, ...], unplugged: frozenset[str]) -> None:
        for name in unplugged:
            self._row.pop(name, None)
        silent = {name for name, row in self._row.items() if row <= -SILENT}
        unsound = {name for name in self._failed if self._row.get(name, 0 if self._ways.peers else SOUND) < SOUND}
        failed = (unplugged | silent | unsound) & frozenset(names) if len(names) > 1 else frozenset()
        if failed == self._failed:
            return
        for name in sorted(failed ^ self._failed):
            log.warning("uplink %s %s", name, "leads nowhere" if name in failed else "leads somewhere again")
        self._failed = failed
        with self._endurance:
            storage.folder(self._memory.parent)
            storage.write(self._memory, json.dumps(sorted(failed)).encode())
        await self._ways.fail(failed)

    def _remembered(self) -> frozenset[str]:
        try:
            return frozenset(str(name) for name in json.loads(self._memory.read_bytes()))
        except (OSError, ValueError, TypeError):
            return frozenset()


def _carrier(name: str) -> bool:
    try:
        return (LINKS / name / "carrier").read_text().strip() == "1"
    except OSError:  # it is not there, or down
        return False


async def answers(uplink: str, peer: str) -> bool:
    """Does a peer answer what leaves by this uplink?"""
    spi = secrets.token_bytes(8)
    question = struct.pack(_HEADER, spi, bytes(8), 0, _VERSION, _INFORMATIONAL, _FROM_INITIATOR, 0, 28)
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, uplink.encode())
            udp.connect((peer, _IKE))
            async with asyncio.timeout(ANSWER):
                await loop.sock_sendall(udp, question)
                while (await loop.sock_recv(udp, 512))[:8] != spi:
                    pass
    except (OSError, TimeoutError):
        return False
    return True

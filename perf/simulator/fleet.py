"""All boxes of a process, and what can be asked of them."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from yangkit import Schema

from perf.simulator.behaviour import Behaviour
from perf.simulator.boxes import Box, Model, Place, schema_of
from perf.simulator.identities import Identities, Wanted

UNDERLAY = IPv4Network("198.18.0.0/15")
"""What RFC 2544 keeps for benchmarks: a /30 for each box's WAN."""


def numbered(model: Model, count: int, first: int = 1) -> list[Wanted]:
    """Boxes of a model: `ucpe-0001` with the serial number `SIM-UCPE-0001`, and so on."""
    found = [f"{model.personality}-{number:04d}" for number in range(first, first + count)]
    return [Wanted(name, f"SIM-{name.upper()}", model.name) for name in found]


def address(number: int) -> IPv4Interface:
    """The WAN address of the process's box with this number, up from 0."""
    return IPv4Interface((int(UNDERLAY.network_address) + 4 * number + 2, 30))


class Fleet:
    """Boxes by name."""

    def __init__(
        self,
        boxes: Sequence[Wanted],
        identities: Identities,
        *,
        yang: Sequence[Path],
        personalities: Path,
        startup: Path | None = None,
    ) -> None:
        schemas: dict[str, Schema] = {}
        self.boxes: dict[str, Box] = {}
        for number, wanted in enumerate(boxes):
            model = Model.named(wanted.model)
            if model.personality not in schemas:
                schemas[model.personality] = schema_of(yang, personalities, model)
            file = startup / f"{wanted.name}.xml" if startup is not None else None
            place = Place(identities.certificate(wanted.name), identities.key(wanted.name), identities.service_ca, file)
            schema = schemas[model.personality]
            self.boxes[wanted.name] = Box(wanted.name, wanted.model, schema, address(number), place)

    async def start(self) -> None:
        for box in self.boxes.values():
            await box.start()

    def call(self, host: str, port: int) -> None:
        """Every box calls its controller home from now on."""
        for box in self.boxes.values():
            box.call(host, port)

    async def stop(self) -> None:
        await asyncio.gather(*(box.stop() for box in self.boxes.values()))

    def matching(self, pattern: str) -> Iterable[Box]:
        """Boxes by a pattern as of a shell."""
        return [box for name, box in self.boxes.items() if fnmatchcase(name, pattern)]

    def behave(self, pattern: str, how: Behaviour) -> int:
        """From now on those boxes behave so; how many they are."""
        found = list(self.matching(pattern))
        for box in found:
            box.behaviour = how
        return len(found)

    def state(self) -> dict[str, Any]:
        """How it is with them, seen from their side."""
        boxes = self.boxes.values()
        counted: Counter[str] = Counter()
        for box in boxes:
            counted += box.server.counters
        return {
            "devices": len(boxes),
            "connected": sum(box.connected for box in boxes),
            "configured": sum(bool(box.system.connections) for box in boxes),
            "unconfirmed": sum(box.server.commits.pending is not None for box in boxes),
            "operations": counted["in-rpcs"],
            "errors": counted["out-rpc-errors"],
            "behaviour": dict(Counter(str(box.behaviour) for box in boxes)),
            "resident_mb": round(resident() / 2**20, 1),
            "cpu_seconds": round(time.process_time(), 2),
        }


def resident() -> int:
    """Octets of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()

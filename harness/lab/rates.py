"""What a lab's nodes use and its links carry, between two looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.lab.lab import Lab


@dataclass(frozen=True)
class Used:
    """`cpu` in percent of one processor, `memory` in octets."""

    node: str
    cpu: float
    memory: int


@dataclass(frozen=True)
class Sent:
    """What one end of a link has sent, per second."""

    end: str
    bits: float
    packets: float


@dataclass(frozen=True)
class Rates:
    seconds: float
    nodes: tuple[Used, ...]
    ends: tuple[Sent, ...]


class Meter:
    """Counters of a lab; each look tells the rates since the one before."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._ports = {end: link.port(end) for link in lab.links for end in link.ends}
        self._before = self._read()

    def _read(self) -> dict[str, Any]:
        counted: dict[str, Any] = self._lab.agent.call("meters")
        return counted

    def look(self) -> Rates:
        before, now = self._before, self._read()
        self._before = now
        seconds = max(now["time"] - before["time"], 1e-6)
        return Rates(seconds, tuple(_used(before, now, seconds)), tuple(self._sent(before, now, seconds)))

    def _sent(self, before: dict[str, Any], now: dict[str, Any], seconds: float) -> Iterator[Sent]:
        nothing = {"octets": 0, "packets": 0}
        for end, port in self._ports.items():
            new = now["ports"].get(port, nothing)
            old = before["ports"].get(port, new)
            # A port that is made anew counts from nothing.
            octets, packets = (max(new[key] - old[key], 0) / seconds for key in ("octets", "packets"))
            yield Sent(end, octets * 8, packets)


def _used(before: dict[str, Any], now: dict[str, Any], seconds: float) -> Iterator[Used]:
    for name, new in now["nodes"].items():
        old = before["nodes"].get(name, new)
        yield Used(name, 100 * max(new["cpu"] - old["cpu"], 0) / seconds, int(new["memory"]))

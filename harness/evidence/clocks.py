"""Clocks that a fault set wrong: when that happened which was stamped by them.

What is in effect when stands in the record of faults, by a clock that no fault sets (`monotonic`). The stamps of one
log come in the order in which they were made; so it can be told which of them were made while the clock was wrong,
also where it showed an hour twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.lab import Lab
from harness.lab.faults import recorded
from harness.topology import Topology

_SETTING = 2.0
"""Seconds that a clock may still be right after a fault's begin or right again before its end: its node starts anew."""
_SLACK = 0.1

Record = dict[str, Any]


@dataclass(frozen=True)
class Wrong:
    """Nodes' clock from `begin` to `end`: off by `offset` seconds, and by `drift` milliseconds more each second."""

    begin: float
    end: float
    offset: float
    drift: float
    nodes: frozenset[str]

    def shown(self, at: float) -> float:
        return at + self.offset + (at - self.begin) * self.drift / 1000

    def meant(self, shown: float) -> float:
        """When it showed that."""
        return self.begin + (shown - self.begin - self.offset) / (1 + self.drift / 1000)


def righted(records: Iterable[Record]) -> list[Record]:
    """The record of faults from its beginning, `time` being right in all of its lines."""
    found: list[Record] = []
    wrong: Record | None = None
    for record in records:
        # It ends when it is right again, or with a lab host whose other clock began anew.
        if wrong and (record["id"] == wrong["id"] or record["monotonic"] < wrong["monotonic"]):
            wrong = None
        at = wrong["time"] + record["monotonic"] - wrong["monotonic"] if wrong else record["time"]
        found.append({**record, "time": round(at, 6)})
        if record["event"] == "begin" and record.get("kind") == "clock" and _is_of_lab(record):
            wrong = record
    return found


def _is_of_lab(record: Record) -> bool:
    return record["on"] in ([], ["lab"])


def wrong_clocks(records: Sequence[Record], topology: Topology, now: float) -> Iterator[Wrong]:
    """From a record with right times."""
    ends = {record["id"]: record["time"] for record in records if record["event"] == "end"}
    for record in records:
        if record["event"] == "begin" and record.get("kind") == "clock":
            values = record["values"]
            end = ends.get(record["id"], now)
            yield Wrong(record["time"], end, values["offset"], values["drift"], _nodes(record, topology))


def _nodes(record: Record, topology: Topology) -> frozenset[str]:
    if _is_of_lab(record):
        return frozenset(topology.nodes)
    places = set(record["on"])
    return frozenset(name for name, node in topology.nodes.items() if places & {name, f"site {node.site}"})


class Clocks:
    """Those of a lab's nodes, up to now."""

    def __init__(self, wrong: Iterable[Wrong], now: float) -> None:
        self._wrong = tuple(wrong)
        self._now = now

    @classmethod
    def of(cls, lab: Lab) -> Clocks:
        now = time.time()
        return cls(wrong_clocks(righted(recorded(lab)), lab.topology, now), now)

    def _of(self, node: str) -> list[Wrong]:
        return [one for one in self._wrong if node in one.nodes]

    def earliest(self, node: str, since: float) -> float:
        """What a node's clock has shown since, the least of it."""
        return min([since, *(one.shown(max(one.begin, since)) for one in self._of(node) if one.end >= since)])

    def meant(self, node: str, stamps: Sequence[float]) -> list[float]:
        """When that happened which a node stamped so, one after the other."""
        wrong, found, latest = self._of(node), [], self._now
        for stamp in reversed(stamps):
            found.append(_meant(stamp, wrong, latest))
            latest = min(latest, found[-1])
        return found[::-1]


def _meant(stamp: float, wrong: Sequence[Wrong], latest: float) -> float:
    """The last moment, before what came next, at which a clock that may have been wrong showed that."""
    moments = [at for one in wrong for at in [one.meant(stamp)] if one.begin - _SLACK <= at <= one.end + _SLACK]
    if not any(one.begin + _SETTING < stamp < one.end - _SETTING for one in wrong):
        moments.append(stamp)
    possible = [at for at in moments if at <= latest + _SLACK]
    return max(possible or moments or [stamp])

"""What was measured, round by round, and what is said of it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from perf.forwarding.lane import HAND, OURS, PLAIN, Lane, Load
from perf.statistics import Comparison, Series

LEAST_OF_HAND = 0.98
"""The tunnel that the product builds forwards at least so much of what the same made by hand does."""


@dataclass
class Rounds:
    """Values of each thing, lane and load, with their units."""

    values: defaultdict[tuple[str, str, str, Load], dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    """By the number of the round: one in which something failed has no value of it."""
    generator: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Frames in a second of its self-test, by size."""
    failures: list[str] = field(default_factory=list)
    number: int = 0
    """Of the round that is measured."""

    def add(self, what: str, lane: Lane, load: Load, value: float) -> None:
        if value > 0:
            self.values[what, lane.shape, lane.who, load][self.number] = value
        else:
            self.failures.append(f"{lane}, {load}: no {what} in round {self.number}")

    def comparisons(self) -> list[Comparison]:
        """Ours beside the same by hand, and either beside plain forwarding, which the generator may be short of; of
        rounds that have all of these.
        """
        cases = dict.fromkeys((what, shape, load) for what, shape, _, load in self.values if shape != PLAIN)
        whats = list(dict.fromkeys(what for what, *_ in cases))
        ordered = sorted(cases, key=lambda case: (whats.index(case[0]), case[1], str(case[2])))
        return [one for case in ordered for one in self._of(*case)]

    def _of(self, what: str, shape: str, load: Load) -> Iterator[Comparison]:
        whose = ((shape, OURS), (shape, HAND), (PLAIN, PLAIN))
        ours, hand, plain = (self.values.get((what, of, who, load), {}) for of, who in whose)
        name, unit = f"{what}: {shape}, {load}", "µs" if what.startswith("p") else "frames/s"
        rate = unit == "frames/s"
        generator = self.made(load.size) if rate else None
        if found := _together(ours, hand):
            first, second = found
            yield Comparison(
                name, first, second, least_ratio=LEAST_OF_HAND if rate else None, against=HAND, unit=unit,
                failed=len(self.failures), headroom=_headroom(generator, first, second),
            )  # fmt: skip
        if found := _together(ours or hand, plain, *((hand,) if ours and hand else ())):
            first, second, *peers = found
            yield Comparison(
                f"{name}, of plain", first, second, measured=OURS if ours else HAND, against="plain forwarding",
                unit=unit, peer=peers[0] if peers else None, failed=len(self.failures),
                headroom=_headroom(generator, first, second),
            )  # fmt: skip

    def made(self, size: str) -> float:
        """Frames in a second that the generator makes alone."""
        return statistics.median(self.generator[size])


def _together(*values: dict[int, float]) -> list[Series]:
    """Of the rounds that all have; none where there is no such round."""
    rounds = sorted(set.intersection(*map(set, values)))
    return [Series.of(one[number] for number in rounds) for one in values] if rounds else []


def _headroom(generator: float | None, *measured: Series) -> float | None:
    return None if generator is None else generator / max(one.median for one in measured)

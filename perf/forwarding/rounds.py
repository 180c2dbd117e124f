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

    values: defaultdict[tuple[str, str, str, Load], list[float]] = field(default_factory=lambda: defaultdict(list))
    generator: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Frames in a second of its self-test, by size."""
    failures: list[str] = field(default_factory=list)

    def add(self, what: str, lane: Lane, load: Load, value: float) -> None:
        self.values[what, lane.shape, lane.who, load].append(value)

    def comparisons(self) -> list[Comparison]:
        """Ours beside the same by hand, and either beside plain forwarding, which the generator may be short of."""
        cases = dict.fromkeys((what, shape, load) for what, shape, _, load in self.values if shape != PLAIN)
        whats = list(dict.fromkeys(what for what, *_ in cases))
        ordered = sorted(cases, key=lambda case: (whats.index(case[0]), case[1], str(case[2])))
        return [one for case in ordered for one in self._of(*case)]

    def _of(self, what: str, shape: str, load: Load) -> Iterator[Comparison]:
        found = {who: self._series(what, PLAIN if who == PLAIN else shape, who, load) for who in (OURS, HAND, PLAIN)}
        ours, hand, plain = found[OURS], found[HAND], found[PLAIN]
        name, unit = f"{what}: {shape}, {load}", "µs" if what.startswith("p") else "frames/s"
        rate = unit == "frames/s"
        generator = statistics.median(self.generator[load.size]) if rate else None
        if ours and hand:
            yield Comparison(
                name, ours, hand, least_ratio=LEAST_OF_HAND if rate else None, against=HAND, unit=unit,
                failed=len(self.failures), headroom=_headroom(generator, ours, hand),
            )  # fmt: skip
        if (first := ours or hand) and plain:
            yield Comparison(
                f"{name}, of plain", first, plain, measured=OURS if ours else HAND, against="plain forwarding",
                unit=unit, peer=hand if ours else None, failed=len(self.failures),
                headroom=_headroom(generator, first, plain),
            )  # fmt: skip

    def _series(self, what: str, shape: str, who: str, load: Load) -> Series | None:
        values = self.values.get((what, shape, who, load))
        return Series.of(values) if values else None


def _headroom(generator: float | None, *measured: Series) -> float | None:
    return None if generator is None else generator / max(one.median for one in measured)

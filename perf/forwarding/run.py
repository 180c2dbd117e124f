"""Rounds: each takes all that is measured once, ours and what stands beside it by turns."""

from __future__ import annotations

import itertools
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.lab import Lab
from perf import conditions
from perf.forwarding import frames, trial
from perf.forwarding.path import Path
from perf.statistics import Comparison, Series

Json = Any
LEAST_OF_HAND = 0.98
"""The tunnel that the product builds forwards at least so much of what the same made by hand does."""
WAYS = {"up": ("up",), "down": ("down",), "both": ("up", "down")}


@dataclass(frozen=True)
class Case:
    """What is offered: in which tunnels, frames of which sizes, in which direction."""

    shape: str
    size: str
    way: str

    def __str__(self) -> str:
        return f"{self.shape}, {self.size}, {self.way}"


@dataclass
class Shape:
    """The same tunnels, ours (where the product has them) and by hand."""

    name: str
    hand: Path
    ours: Path | None = None

    def paths(self, plain: Path) -> dict[str, Path]:
        found = {"by hand": self.hand, "plain": plain}
        return found if self.ours is None else {"ours": self.ours, **found}


@dataclass
class Rounds:
    """What was measured, by name and by whom, round by round."""

    values: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    generator: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of its self-test, by size."""
    failures: list[str] = field(default_factory=list)

    def series(self, name: str, who: str) -> Series | None:
        values = self.values.get((name, who))
        return Series.of(values) if values else None


@dataclass
class Benchmark:
    lab: Lab
    plain: Path
    shapes: list[Shape]
    sizes: Sequence[str]
    ways: Sequence[str]
    seconds: float
    order: random.Random
    rounds: Rounds = field(default_factory=Rounds)

    def cases(self) -> list[tuple[Case, Shape]]:
        every = itertools.product(self.shapes, self.sizes, self.ways)
        return [(Case(shape.name, size, way), shape) for shape, size, way in every]

    def measure_generator(self) -> None:
        node = self.lab[self.plain.host.node.name]
        for size in self.sizes:
            self.rounds.generator[size].append(trial.self_test(node, frames.SIZES[size], self.seconds))

    def measure_most(self) -> None:
        """MRR (RFC 9004's idea, CSIT's name): what comes out while as much as possible is offered."""
        for case, shape in self.cases():
            paths = shape.paths(self.plain)
            for who in self.order.sample(list(paths), len(paths)):
                done = trial.offer(self.lab, paths[who], WAYS[case.way], frames.SIZES[case.size], self.seconds)
                self.rounds.values[f"MRR {case}", who].append(done.forwarded)

    def stable(self) -> None:
        """Before anything counts: a tenth of what goes loses nothing, on every path in every direction."""
        for case, shape in self.cases():
            for who, path in shape.paths(self.plain).items():
                ways, sizes = WAYS[case.way], frames.SIZES[case.size]
                most = trial.offer(self.lab, path, ways, sizes, self.seconds / 2)
                slow = trial.offer(self.lab, path, ways, sizes, self.seconds, most.forwarded / len(ways) / 10)
                if slow.lost or not slow.sent:
                    self.rounds.failures.append(f"{case}, {who}: {slow.lost} of {slow.sent} frames lost at a tenth")

    # -- what is said of it -------------------------------------------------------------------------------------------

    def comparisons(self) -> list[Comparison]:
        return [one for case, _ in self.cases() for one in self._of_case(f"MRR {case}", case)]

    def _of_case(self, name: str, case: Case) -> list[Comparison]:
        """Ours beside the same by hand, and either beside plain forwarding, which the generator may be short of."""
        ours, hand, plain = (self.rounds.series(name, who) for who in ("ours", "by hand", "plain"))
        generator = statistics.median(self.rounds.generator[case.size])
        found = []
        if ours and hand:
            found.append(Comparison(
                name, ours, hand, least_ratio=LEAST_OF_HAND, against="by hand", unit="frames/s",
                failed=len(self.rounds.failures), headroom=_headroom(generator, ours, hand),
            ))  # fmt: skip
        first = ours or hand
        if first and plain:
            found.append(Comparison(
                f"{name}, of plain", first, plain, measured="ours" if ours else "by hand", against="plain forwarding",
                unit="frames/s", peer=hand if ours else None, failed=len(self.rounds.failures),
                headroom=_headroom(generator, first, plain),
            ))  # fmt: skip
        return found


def _headroom(generator: float, *measured: Series) -> float:
    return generator / max(one.median for one in measured)


def rounds(benchmark: Benchmark, count: int) -> list[dict[str, object]]:
    """All rounds, and the weather before each. One before the first warms up and is not counted."""
    skies: list[dict[str, object]] = []
    benchmark.stable()
    for number in range(count):
        skies.append({"round": number, **conditions.weather()})
        benchmark.measure_generator()
        benchmark.measure_most()
        print(f"round {number + 1} of {count} done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    return skies

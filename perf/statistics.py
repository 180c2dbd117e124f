"""What is said about a series of measurements, and when a run says nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_SPREAD = 1.5
"""A floor whose slowest round took this many times its fastest measured its neighbours: the run is void."""
LEAST_ROUNDS = 5
LEAST_HEADROOM = 3.0
"""What makes the load must be able to make so many times the load that was measured, or it measured itself."""
VOID = 6
"""Exit status of a run that says nothing."""
OURS = "ours"


@dataclass(frozen=True)
class Series:
    """Seconds of the same thing, round by round."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Series:
        found = tuple(values)
        if not found:
            raise ValueError("a series needs a measurement")
        if any(value <= 0 for value in found):
            raise ValueError(f"nothing takes no time: {found}")
        return cls(found)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        return max(self.values) / min(self.values)

    def as_json(self) -> dict[str, object]:
        return {
            "median": round(self.median, 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "rounds": [round(value, 4) for value in self.values],
        }


@dataclass(frozen=True)
class Comparison:
    """Ours beside its floor. `bound` is what the median of ours must not exceed, if anybody promised one; or the ratio
    has a bound: from above where less is better, from below for rates."""

    name: str
    ours: Series
    floor: Series
    bound: float | None = None
    most_ratio: float | None = None
    least_ratio: float | None = None
    measured: str = OURS
    against: str = "floor"
    """What the two are called: against a peer, or what was measured is somebody else's."""
    unit: str = "s"
    peer: Series | None = None
    """Of a third that was there in the same rounds."""
    failed: int = 0
    """Requests that failed; one is enough to say nothing of the others."""
    headroom: float | None = None
    """How many times the measured load its generator makes, if it was asked."""
    both_steady: bool = False
    """Neither of the two is a floor: whichever of them moves, nothing is said."""

    @property
    def ratio(self) -> float:
        """How many floors ours takes: the median of the rounds' ratios, as a round's two share its weather."""
        return _ratio(self.ours, self.floor)

    @property
    def void(self) -> str:
        """Why this run says nothing; empty when it does."""
        if few := too_few(self.ours.values):
            return few
        if self.floor.spread > MOST_SPREAD:
            return f"the floor's slowest round took {self.floor.spread:.2f} times its fastest (> {MOST_SPREAD})"
        if self.both_steady and self.ours.spread > MOST_SPREAD:
            return f"{self.measured}: the slowest round took {self.ours.spread:.2f} times the fastest (> {MOST_SPREAD})"
        return self.faulty

    @property
    def faulty(self) -> str:
        """What makes it void however many rounds it has; empty when nothing does."""
        if self.failed:
            return f"{self.failed} requests failed"
        if self.headroom is not None and self.headroom < LEAST_HEADROOM:
            return f"its generator makes only {self.headroom:.1f} times the measured load (< {LEAST_HEADROOM:g})"
        return ""

    @property
    def more_is_better(self) -> bool:
        """Whether a greater ratio is what we wish for: of our rates, and of a peer's seconds in ours."""
        return self.least_ratio is not None or self.unit.endswith("/s") is (self.measured == OURS)

    @property
    def kept(self) -> bool | None:
        """Whether the bound holds; None without one. Seconds that a user waits count also on a noisy machine."""
        if self.bound is self.most_ratio is self.least_ratio is None:
            return None
        return (
            (self.bound is None or self.ours.median <= self.bound)
            and (self.most_ratio is None or self.ratio <= self.most_ratio)
            and (self.least_ratio is None or self.ratio >= self.least_ratio)
        )

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "ours": self.ours.as_json(),
            "floor": self.floor.as_json(),
            "measured": self.measured,
            "against": self.against,
            "unit": self.unit,
            "ratio": round(self.ratio, 3),
            "bound": self.bound,
            "most_ratio": self.most_ratio,
            "least_ratio": self.least_ratio,
            "more_is_better": self.more_is_better,
            "kept": self.kept,
            "void": self.void,
            "faulty": self.faulty,
            **self._more(),
        }

    def _more(self) -> dict[str, object]:
        """What only some have."""
        found: dict[str, object] = {}
        if self.peer is not None:
            found |= {"peer": self.peer.as_json(), "peer_ratio": round(_ratio(self.ours, self.peer), 3)}
        if self.headroom is not None:
            found["headroom"] = round(self.headroom, 1)
        return found | ({"failed": self.failed} if self.failed else {})


def _ratio(ours: Series, other: Series) -> float:
    return statistics.median(one / two for one, two in zip(ours.values, other.values, strict=True))


def too_few(rounds: Sequence[object]) -> str:
    """Why so few rounds say nothing; empty when they are enough."""
    return f"{len(rounds)} rounds are fewer than {LEAST_ROUNDS}" if len(rounds) < LEAST_ROUNDS else ""


def promise(values: Sequence[float], bound: float, *, at_least: bool = False, void: str = "") -> dict[str, object]:
    """What is held against a bound alone, as it is stored. `void` is what else makes it say nothing."""
    median = statistics.median(values)
    return {
        "median": round(median, 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
        "rounds": [round(value, 3) for value in values],
        "bound": bound,
        **({"at least": True} if at_least else {}),
        "kept": median >= bound if at_least else median <= bound,
        "void": too_few(values) or void,
    }


def medians(rounds: Iterable[dict[str, float]]) -> dict[str, float]:
    """The median of each phase over rounds that need not all have it."""
    found: dict[str, list[float]] = {}
    for phases in rounds:
        for name, seconds in phases.items():
            found.setdefault(name, []).append(seconds)
    return {name: round(statistics.median(seconds), 3) for name, seconds in found.items()}


__all__ = [
    "LEAST_HEADROOM",
    "LEAST_ROUNDS",
    "MOST_SPREAD",
    "OURS",
    "VOID",
    "Comparison",
    "Series",
    "medians",
    "promise",
    "too_few",
]

"""What a run has seen: durations and failures by what was done, steps of orders, the floor, the machine."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from perf.load.sla import percentile
from perf.statistics import LEAST_HEADROOM, LEAST_ROUNDS, MOST_SPREAD

Json = Any
Sample = tuple[str, float, str]
"""What was done (`order accepted`), milliseconds, and what went wrong if anything did."""
FLOOR = "floor health"
FLOOR_IN_FAULT = "floor in a fault"
"""The same question while a fault is on, perhaps of the one who is asked: no floor, and its failures void nothing."""


@dataclass
class Seen:
    """Filled by threads and workers; `take_news` is what a worker tells its master."""

    samples: list[Sample] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """Milliseconds by which what was meant to begin began later: the generator's own."""
    skies: list[dict[str, object]] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)
    capacity: float = 0.0
    """Requests a second that the generator makes of a server that does nothing."""
    seconds: float = 0.0
    _told: tuple[int, int, int] = (0, 0, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, milliseconds: float, error: str = "") -> None:
        with self._lock:
            self.samples.append((what, milliseconds, error))

    def take_news(self) -> Json:
        """What has come since the last time, as JSON."""
        with self._lock:
            samples, phases, late = self._told
            self._told = (len(self.samples), len(self.phases), len(self.late))
            return {"samples": self.samples[samples:], "phases": self.phases[phases:], "late": self.late[late:]}

    def merge(self, news: Json) -> None:
        with self._lock:
            self.samples += [(what, took, error) for what, took, error in news["samples"]]
            self.phases += [(name, seconds) for name, seconds in news["phases"]]
            self.late += news["late"]

    # -- what it comes to --------------------------------------------------------------------------------------------

    def durations(self) -> dict[str, list[float]]:
        """Of what succeeded, in the order in which it ended."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for what, took, error in self.samples:
            if not error:
                found[what].append(took)
        return dict(found)

    def failures(self) -> dict[str, int]:
        found: defaultdict[str, int] = defaultdict(int)
        for what, _, error in self.samples:
            if error:
                found[what] += 1
        return dict(found)

    def errors(self) -> dict[str, int]:
        """How often each thing went wrong in which way."""
        found: defaultdict[str, int] = defaultdict(int)
        for what, _, error in self.samples:
            if error:
                found[f"{what}: {error}"] += 1
        return dict(found)

    def steps(self) -> dict[str, list[float]]:
        """Seconds of each step of orders."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for name, seconds in self.phases:
            found[name].append(seconds)
        return dict(found)

    @property
    def headroom(self) -> float | None:
        """How many times the load of this run the generator makes; None if it was not asked."""
        rate = len(self.samples) / self.seconds if self.seconds else 0.0
        return self.capacity / rate if self.capacity and rate else None

    def floor_parts(self) -> list[float]:
        """The floor's median in each of as many equal parts of the run as a benchmark has rounds."""
        found = self.durations().get(FLOOR, [])
        size = len(found) // LEAST_ROUNDS
        return [statistics.median(found[size * n : size * (n + 1)]) for n in range(LEAST_ROUNDS)] if size else []

    @property
    def void(self) -> str:
        """Why this run says nothing; empty when it does."""
        parts = self.floor_parts()
        if failed := sum(times for what, times in self.failures().items() if what != FLOOR_IN_FAULT):
            return f"{failed} requests failed"
        if not parts:
            return f"the floor was asked less than {LEAST_ROUNDS} times"
        if (spread := max(parts) / min(parts)) > MOST_SPREAD:
            return f"the floor's slowest part took {spread:.2f} times its fastest (> {MOST_SPREAD})"
        if self.headroom is not None and self.headroom < LEAST_HEADROOM:
            return f"the generator makes only {self.headroom:.1f} times this load (< {LEAST_HEADROOM:g})"
        return ""


def summary(values: Sequence[float], digits: int = 1) -> Json:
    """What is said of a series."""
    return {
        "count": len(values),
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        **{name: round(percentile(values, share), digits) for name, share in (("p95", 0.95), ("p99", 0.99))},
    }

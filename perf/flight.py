"""Orders that are all meant at one moment, whether the stack keeps up or not: how long they take, how many succeed.

Then as many are cancelled at once. Beside them, as their floor, as many edits with their commits on one box that no
order is for, meant at one moment, too.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from perf.lab import BenchmarkError
from perf.load.run import Run
from perf.load.sla import SHARES, percentile
from perf.statistics import Comparison, Series, promise

Durations = Mapping[str, Sequence[float]]
FLOOR = "NETCONF edit and commit"
MEASURED: dict[str, dict[str, tuple[str, ...]]] = {
    "orders": {"order accepted": ("p99",), "order applied": ("p50", "p95", "p99"), "order completed": ("p95",)},
    "cancelled orders": {"cancel undone": ("p95",)},
}
"""Of what is begun: what is told of it."""
_LAST = {"orders": ("order applied", "end nothing passes"), "cancelled orders": ("end nothing passes",)}
"""What has succeeded has all of these: packets pass when they should, and none do afterwards."""
AGAINST = "as many edits"


@dataclass
class Flight:
    """So many at once, round by round: seconds."""

    number: int
    ours: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    floor: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    succeeded: list[float] = field(default_factory=list)
    """Shares."""
    headroom: list[float] = field(default_factory=list)
    """How many times as many requests the generator makes."""
    errors: Counter[str] = field(default_factory=Counter)
    """How often what went wrong."""

    @property
    def failed(self) -> int:
        return self.errors.total()

    def add(self, what: str, durations: Durations, errors: Mapping[str, int]) -> None:
        """A round of one thing. Raises BenchmarkError: nothing of it has come to an end."""
        self.errors.update(errors)
        if what == "netconf":
            for level in {level for told in MEASURED.values() for levels in told.values() for level in levels}:
                self.floor[level].append(_seconds(durations, FLOOR, level))
            return
        for name, levels in MEASURED[what].items():
            for level in levels:
                self.ours[name, level].append(_seconds(durations, name, level))
        self.succeeded.append(min(len(durations.get(one, ())) for one in _LAST[what]) / self.number)

    def comparisons(self) -> list[Comparison]:
        return [
            Comparison(
                f"{name} {level}, {self.number} in flight", Series.of(values), Series.of(self.floor[level]),
                against=AGAINST, failed=self.failed, headroom=statistics.median(self.headroom),
            )
            for measured in MEASURED.values()
            for name, levels in measured.items()
            for level in levels
            if (values := self.ours[name, level])
        ]  # fmt: skip

    def promises(self) -> dict[str, dict[str, object]]:
        """All succeed, in all rounds: of each the share that did, and of both kinds the one with fewer."""
        both = [min(pair) for pair in zip(self.succeeded[::2], self.succeeded[1::2], strict=True)]
        void = next((one.faulty for one in self.comparisons() if one.faulty and not self.failed), "")
        told = promise(both, 1.0, at_least=True, void=void) | {"kept": min(both) >= 1.0}
        return {f"share that succeeds, {self.number} in flight": told}


def _seconds(durations: Durations, name: str, level: str) -> float:
    if not (found := durations.get(name)):
        raise BenchmarkError(f"no {name} of those that were begun at once")
    return percentile(found, SHARES[level]) / 1000


async def at_once(run: Run, what: str, into: Flight) -> None:
    """As many as it is of, begun at one moment, and all that follows of each."""
    run.seen.samples.clear()
    begun = time.monotonic()
    if what == "orders":
        await run.orders_at_once(into.number)
    else:
        await asyncio.gather(*(run.begin(what, begun) for _ in range(into.number)))
    run.seen.seconds = time.monotonic() - begun
    into.add(what, run.seen.durations(), run.seen.errors())
    if what != "netconf" and run.seen.headroom is not None:
        into.headroom.append(run.seen.headroom)

"""A round takes all that is measured once, and ours and what stands beside it by turns."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from harness.lab import Lab
from harness.lab.node import CommandError
from harness.orchestrator.errors import OrchestratorError
from harness.wait import DeadlineError
from perf import conditions
from perf.buying import OrderError
from perf.forwarding import blocked, latency, search, trial
from perf.forwarding.blocked import Blocked
from perf.forwarding.lane import HAND, OURS, Lane, Load
from perf.forwarding.path import PathError
from perf.forwarding.rounds import Rounds

T = TypeVar("T")
MRR = "MRR"
STABLE = 0.1
"""Of the most that comes out: what must pass without any loss before anything is measured."""
_NOTHING = 1.0
"""Frames in a second beside the timed ones, where nothing is to be offered."""
_FAILURES = (
    PathError, search.SearchError, latency.LatencyError, CommandError, DeadlineError, OrchestratorError, OrderError
)  # fmt: skip


@dataclass
class Benchmark:
    lab: Lab
    lanes: Sequence[Lane]
    loads: Sequence[Load]
    searched: Sequence[tuple[Lane, Load]]
    """Where NDR, PDR and how long frames take are asked for."""
    goals: str
    seconds: float
    """Of a trial for MRR."""
    timed: float
    """Of one in which frames are timed."""
    order: random.Random
    blocked: Blocked | None = None
    rounds: Rounds = field(default_factory=Rounds)

    def stable(self) -> None:
        """A little of what goes loses nothing, on every path with all that is offered there, each way."""
        every = list(itertools.product(self.lanes, self.loads))
        every += [one for one in self.searched if one not in every]
        for lane, load in every:
            with self._noted(f"{lane}, {load}"):
                most = trial.offer(self.lab, lane.path, load.ways, load.sizes, self.seconds)
                rate = STABLE * most.forwarded / len(load.ways)
                slow = trial.offer(self.lab, lane.path, load.ways, load.sizes, self.seconds, rate) if rate else most
                if slow.lost or not slow.sent:
                    self.rounds.failures.append(
                        f"{lane}, {load}: {slow.lost} of {slow.sent} frames lost at {rate:.0f}/s"
                    )

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """What fails is told, and voids the run; all else is measured."""
        try:
            yield
        except _FAILURES as error:
            self.rounds.failures.append(f"{what}: {error}")

    def round(self) -> None:
        self.rounds.number += 1
        for size in dict.fromkeys(load.size for load in (*self.loads, *(load for _, load in self.searched))):
            node, sizes = self.lanes[0].path.host.node, Load(size, "up").sizes
            self.rounds.generator[size].append(trial.self_test(node, sizes, self.seconds))
        for lane, load in self._shuffled(itertools.product(self.lanes, self.loads)):
            with self._noted(f"{lane}, {load}"):
                self._most(lane, load)
        for lane, load in self._shuffled(self.searched):
            with self._noted(f"{lane}, {load}"):
                self._search(lane, load)
        if self.blocked:
            for event, who in self._shuffled(itertools.product(blocked.EVENTS, (OURS, HAND))):
                with self._noted(f"{event}, {who}"):
                    self.blocked.measure(event, who)

    def _shuffled(self, what: Iterable[T]) -> list[T]:
        found = list(what)
        return self.order.sample(found, len(found))

    def _most(self, lane: Lane, load: Load) -> None:
        done = trial.offer(self.lab, lane.path, load.ways, load.sizes, self.seconds)
        self.rounds.add(MRR, lane, load, done.forwarded)

    def _search(self, lane: Lane, load: Load) -> None:
        offer = partial(trial.offer, self.lab, lane.path, load.ways, load.sizes)
        rates = search.search(offer, offer(self.seconds).forwarded, self.goals, len(load.ways))
        for name, rate in rates.items():
            self.rounds.add(name, lane, load, rate)
        for share in latency.SHARES:
            rate = share * rates[search.PDR] / len(load.ways) or _NOTHING
            percent = f"{100 * share:.0f} % of PDR"
            with self._noted(f"{lane}, {load}, {percent}"):
                for level, value in latency.percentiles(offer(self.timed, rate, timed=True).times).items():
                    self.rounds.add(f"{level} at {percent}", lane, load, value)


def run(benchmark: Benchmark, count: int) -> list[dict[str, object]]:
    """All rounds; the weather before each."""
    skies: list[dict[str, object]] = []
    benchmark.stable()
    for number in range(count):
        skies.append({"round": number, **conditions.weather()})
        benchmark.round()
        print(f"round {number + 1} of {count} done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    return skies

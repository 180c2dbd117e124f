"""Orders at a rate, for as long as is wanted; and which rate the stack bears."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.lab import Lab
from perf.load import selftest
from perf.load.run import Run
from perf.load.scenario import Scenario
from perf.load.seen import Seen
from perf.load.shapes import Soak, begins
from perf.load.sla import percentile
from perf.load.target import Target
from perf.soak.watch import Watch

RATES = (0.25, 0.35, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0)
"""Orders a second, one level of the search after the other: a coarse step would say half of the knee too low."""
STANDING = 1
"""Services that are there all the time: in a network at work a box has its tunnel, whatever comes and goes."""
_LEVEL_SECONDS, _LEVEL_ORDERS = 25.0, 15
"""At least: of fewer orders the slowest alone would say what their p95 is."""
_KNEE = 3.0
"""So many times the p95 of the lowest level is beyond the knee."""
_SLOTS = 60
_PATIENCE = 60.0


@dataclass
class Period:
    """What came of orders at one rate."""

    seen: Seen
    applied: list[tuple[float, float]] = field(default_factory=list)
    """When it was, in seconds of the period, and after how many milliseconds packets passed."""

    @property
    def cycles(self) -> int:
        """Services that were ordered, used, and of which nothing is left."""
        return len(self.seen.durations().get("end nothing passes", ()))


async def period(
    lab: Lab, target: Target, rate: float, seconds: float, seed: str, watch: Watch | None = None, every: float = 10.0,
    standing: int = STANDING,
) -> Period:  # fmt: skip
    """Orders at moments that were drawn beforehand, beside services that stay; each is used once and ended. Then all
    is taken away."""
    told: list[tuple[float, float]] = []

    def tell(kind: str, what: str, took: float, error: Exception | None) -> None:
        if (kind, what, error) == ("order", "applied", None):
            told.append((time.monotonic() - begun, took))

    begun = time.monotonic()
    scenario = Scenario(
        name="soak", about="orders, one like the other", rate=rate, existing=standing, slots=_SLOTS,
        patience=_PATIENCE, shape=Soak(1, seconds), users={"orders": 1}, sla={},
    )  # fmt: skip
    run = Run(lab, target, scenario, 0, 1, tell)
    run.seen.capacity = await selftest.capacity()
    await run.prepare(packets=True)
    try:
        if standing:
            await run.place_existing()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as beside:  # what fails beside the orders ends them
            beside.create_task(run.watch())
            if watch is not None:
                beside.create_task(_look(watch, every, begun + seconds))
            await _offer(run, rate, seconds, seed)
            run.stop_watching()
        run.seen.seconds = time.monotonic() - begun
    finally:
        await run.finish(sweep=True)
    return Period(run.seen, told)


async def _offer(run: Run, rate: float, seconds: float, seed: str) -> None:
    begun = time.monotonic()
    async with asyncio.TaskGroup() as begun_ones:
        for at in begins(rate, seed):
            if at >= seconds:
                break
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            begun_ones.create_task(run.begin("orders", begun + at))


async def _look(watch: Watch, every: float, until: float) -> None:
    watch.begin()
    while (begun := time.monotonic()) < until:
        await asyncio.to_thread(watch.look)
        await asyncio.sleep(max(0.0, begun + every - time.monotonic()))


async def find_knee(
    lab: Lab, target: Target, rates: Sequence[float] = RATES, standing: int = STANDING
) -> tuple[float, list[dict[str, object]]]:
    """The highest rate at which nothing fails and p95 is not several times that of the lowest; all that were tried."""
    tried: list[dict[str, object]] = []
    best = lowest = 0.0
    for rate in rates:
        seconds = max(_LEVEL_SECONDS, _LEVEL_ORDERS / rate)
        found = await period(lab, target, rate, seconds, f"knee/{rate}", standing=standing)
        took = [one for _, one in found.applied]
        p95 = round(percentile(took, 0.95), 1) if took else None
        errors = found.seen.errors()
        tried.append({"orders_a_second": rate, "applied_p95_ms": p95, "failed": errors})
        print(f"{rate:g} orders a second: p95 until applied {p95} ms, {len(errors)} kinds of failure", file=sys.stderr)
        lowest = lowest or (p95 or 0.0)
        if errors or p95 is None or p95 > _KNEE * lowest:
            break
        best = rate
    return best, tried

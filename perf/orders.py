"""B5: how long an order takes until traffic passes, among services that exist, and many at once, beside the floor.

    labctl bench orders [--existing 0 50 200] [--in-flight 1 5 10 50] [--rounds 5] [--lab NAME] [--seed N]

With 0, 50 and 200 services that exist a round orders one site, sees the first of its packets pass, and ends it again;
the floor beside it, in the order that the seed decides, is what a device costs alone: an edit and its commit on a box,
by NETCONF, the median of some. Then, among the fewest services, a round orders 1, 5, 10 and 50 sites, all meant at one
moment, and as many again that are cancelled at once; the floor are as many edits (`perf.flight`). At a rate that lasts
it is `labctl bench load`. One round before the first is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

from harness.lab import Lab
from perf import conditions, flight, record
from perf.flight import Flight
from perf.lab import BenchmarkError
from perf.load import selftest
from perf.load.run import Run
from perf.load.scenario import Scenario
from perf.load.shapes import Soak
from perf.load.target import running, target
from perf.report import spread, verdict
from perf.statistics import LEAST_ROUNDS, Comparison, Series

EXISTING = (0, 50, 200)
IN_FLIGHT = (1, 5, 10, 50)
FLOORS = 9
"""Edits in a round, of which the median counts: each is so short that one alone says little."""
SPARE = 10
"""Sites of orders that fail are not ordered again."""
FLAT = 1.5
"""So many times may an order among the most services take what it takes among none."""
MEASURED = ("order accepted", "order applied", "order completed", "end completed")
_TOLD = {"patience": 120.0, "rate": 1.0, "users": {"orders": 1}, "sla": {}}


def _nobody(*_: object) -> None:
    """Nobody listens while it happens."""


@contextlib.asynccontextmanager
async def ordering(lab: Lab, existing: int, at_once: int) -> AsyncIterator[Run]:
    """Somebody who orders as many at once, among so many services that are there."""
    scenario = Scenario(
        name="orders", about="as they are asked for", shape=Soak(1, 1), existing=existing, slots=at_once, **_TOLD  # type: ignore[arg-type]
    )  # fmt: skip
    run = Run(lab, target(lab), scenario, 0, 1, _nobody)
    await run.prepare(packets=True)
    try:
        await run.place_existing()
        yield run
    finally:
        await run.finish(sweep=True)


async def measure(lab: Lab, existing: int, count: int, order: random.Random) -> dict[str, list[float]]:
    """Seconds of each thing, round by round, among so many services: one after the other."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    async with ordering(lab, existing, 1) as run:
        for number in range(-1, count):
            run.seen.samples.clear()
            for what in order.sample(["orders", *["netconf"] * FLOORS], 1 + FLOORS):
                await run.begin(what, time.monotonic())
            if errors := run.seen.errors():
                raise BenchmarkError(f"with {existing} services: {', '.join(errors)}")
            if number >= 0:
                for name, values in run.seen.durations().items():
                    found[name].append(statistics.median(values) / 1000)
    return dict(found)


async def in_flight(lab: Lab, existing: int, numbers: Sequence[int], count: int, order: random.Random) -> list[Flight]:
    """All rounds of so many at once."""
    flights = {number: Flight(number) for number in numbers}
    turns = list(itertools.product(numbers, (*flight.MEASURED, "netconf")))
    async with ordering(lab, existing, max(numbers) + SPARE) as run:
        for number in range(-1, count):
            run.seen.capacity = await selftest.capacity()
            for many, what in order.sample(turns, len(turns)):
                await flight.at_once(run, what, flights[many] if number >= 0 else Flight(many))
            print(f"in flight: round {number + 1} of {count} done", file=sys.stderr, flush=True)
    return list(flights.values())


def compared(existing: int, found: dict[str, list[float]]) -> list[Comparison]:
    floor = Series.of(found[flight.FLOOR])
    return [Comparison(f"{what}, {existing} services", Series.of(found[what]), floor) for what in MEASURED]


def growth(applied: dict[int, float], void: str = "") -> dict[str, Any]:
    """Of the median until traffic passes, from number to number of services; void where one of these is."""
    steps = [
        {"from": few, "to": many, "ratio": round(applied[many] / applied[few], 3)}
        for few, many in pairwise(sorted(applied))
    ]
    whole = round(applied[max(applied)] / applied[min(applied)], 3) if steps else None
    return {
        "steps": steps,
        "median": whole,
        "bound": FLAT,
        "kept": None if whole is None else whole <= FLAT,
        "void": void,
    }


def run(name: str | None, numbers: list[int], many: list[int], count: int, seed: int) -> dict[str, Any]:
    """All numbers; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    skies: list[dict[str, object]] = []
    told: list[Comparison] = []
    applied: dict[int, float] = {}
    with running(name) as lab:
        for number in sorted(numbers):
            skies.append({"round": number, **conditions.weather()})
            found = asyncio.run(measure(lab, number, count, order))
            told += compared(number, found)
            applied[number] = Series.of(found["order applied"]).median
            print(f"{number} services: applied in {applied[number]:.2f} s", file=sys.stderr, flush=True)
        skies.append({"round": "in flight", **conditions.weather()})
        flights = asyncio.run(in_flight(lab, min(numbers), many, count, order)) if many else []
    skies.append({"round": "end", **conditions.weather()})
    grown = growth(applied, next((one.void for one in told if one.void), ""))
    told += [one for each in flights for one in each.comparisons()]
    result: dict[str, Any] = {
        "benchmark": "B5 orders among services that exist",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [one.as_json() for one in told],
    }
    for each in flights:
        result |= each.promises()
    if failures := {f"{each.number} in flight": dict(each.errors) for each in flights if each.failed}:
        result["failures"] = failures
    return result if grown["median"] is None else result | {"applied among the most over among the fewest": grown}


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench orders", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--existing", type=int, nargs="+", default=list(EXISTING), help="services that are there before"
    )
    parser.add_argument("--in-flight", type=int, nargs="*", default=list(IN_FLIGHT), help="orders at one moment")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--lab", help="a running lab of yours with nothing ordered; else one is started")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.lab, asked.existing, asked.in_flight, asked.rounds, asked.seed)
    found = record.kept("orders", asked, made)
    for one in found.comparisons:
        ours, floor = one["ours"]["median"], one["floor"]["median"]
        print(f"{one['name']:<36} {ours:7.3f} s  floor {floor:6.3f} s  {one['ratio']:6.1f} ×  {verdict(one)}".rstrip())
    for name, one in found.promises.items():
        bound = f"{'≥' if one.get('at least') else '≤'} {one['bound']:g}"
        print(f"{name}: {spread(one)} (bound {bound}): {verdict(one)}")
    for number, errors in found.content.get("failures", {}).items():
        print(f"{number}, failed: {', '.join(f'{count} × {error}' for error, count in errors.items())}")
    return int(any(one["kept"] is False for one in found.promises.values()))


if __name__ == "__main__":
    sys.exit(main())

"""B5: how long an order takes until traffic passes, with 0, 50 and 200 services that exist, beside the floor.

    labctl bench orders [--existing 0 50 200] [--rounds 5] [--lab NAME] [--seed N]

A round orders one site, sees the first of its packets pass, and ends it again; the floor beside it, in the order that
the seed decides, is what a device costs alone: an edit and its commit on a box, by NETCONF. One order is on its way at
a time; how many more are borne is what `labctl bench load` is for. One round before the first is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import Any

from harness.lab import Lab
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.load.run import Run
from perf.load.scenario import Scenario
from perf.load.shapes import Soak
from perf.load.target import running, target
from perf.statistics import LEAST_ROUNDS, Comparison, Series

EXISTING = (0, 50, 200)
FLAT = 1.5
"""So many times may an order among the most services take what it takes among none."""
FLOOR = "NETCONF edit and commit"
MEASURED = ("order accepted", "order applied", "order completed", "end completed")
_TOLD = {"patience": 120.0, "slots": 1, "rate": 1.0, "users": {"orders": 1}, "sla": {}}


def _nobody(*_: object) -> None:
    """Nobody listens while it happens."""


async def measure(lab: Lab, existing: int, count: int, order: random.Random) -> dict[str, list[float]]:
    """Seconds of each thing, round by round, among so many services."""
    scenario = Scenario(name="orders", about="one by one", shape=Soak(1, 1), existing=existing, **_TOLD)  # type: ignore[arg-type]
    run = Run(lab, target(lab), scenario, 0, 1, _nobody)
    found: defaultdict[str, list[float]] = defaultdict(list)
    await run.prepare(packets=True)
    try:
        await run.place_existing()
        for number in range(-1, count):
            run.seen.samples.clear()
            for what in order.sample(["orders", "netconf"], 2):
                await run.begin(what, time.monotonic())
            if errors := run.seen.errors():
                raise BenchmarkError(f"with {existing} services: {', '.join(errors)}")
            if number >= 0:
                for name, values in run.seen.durations().items():
                    found[name].append(values[0] / 1000)
    finally:
        await run.finish(sweep=True)
    return dict(found)


def compared(existing: int, found: dict[str, list[float]]) -> list[Comparison]:
    floor = Series.of(found[FLOOR])
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


def run(name: str | None, numbers: list[int], count: int, seed: int) -> dict[str, Any]:
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
    skies.append({"round": "end", **conditions.weather()})
    result: dict[str, Any] = {
        "benchmark": "B5 orders among services that exist",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [one.as_json() for one in told],
    }
    grown = growth(applied, next((one.void for one in told if one.void), ""))
    return result if grown["median"] is None else result | {"applied among the most over among the fewest": grown}


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench orders", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--existing", type=int, nargs="+", default=list(EXISTING), help="services that are there before"
    )
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--lab", help="a running lab of yours with nothing ordered; else one is started")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.lab, asked.existing, asked.rounds, asked.seed)
    result = record.kept("orders", asked, made).content
    for one in result["comparisons"]:
        void = f"  VOID: {one['void']}" if one["void"] else ""
        ours, floor = one["ours"]["median"], one["floor"]["median"]
        print(f"{one['name']:<32} {ours:7.3f} s  floor {floor:6.3f} s  {one['ratio']:6.1f} ×{void}")
    grown = result.get("applied among the most over among the fewest")
    if grown:
        missed = "" if grown["kept"] else "  BOUND MISSED"
        print(f"among the most services an order takes {grown['median']} times as long (bound {FLAT}){missed}")
    return int(grown is not None and not grown["kept"])


if __name__ == "__main__":
    sys.exit(main())

"""B15: an hour of orders and deletions at half of what the stack bears: memory, descriptors, leftovers, drift.

    labctl bench soak [--minutes 60] [--knee ORDERS_A_SECOND] [--standing N] [--lab NAME] [--seed N]

The knee is looked for first, unless it is given: the highest of a few rates at which nothing fails and p95 stays near
that of the lowest. Memory and descriptors of every component and of each box's programs are read every ten seconds;
their slope is Theil's and Sen's, with its 95 %, after the first sixth. Before and after, when all is idle, the links,
routes, rules, xfrm policies and states, nft rules, programs and sockets of every node are compared line by line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

from harness.evidence import difference
from harness.evidence.difference import Baseline
from harness.lab import Lab
from harness.wait import DeadlineError, wait_for
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.load.seen import summary
from perf.load.target import running, target
from perf.soak.driving import STANDING, Period, find_knee, period
from perf.soak.judging import PARTS, judged
from perf.soak.watch import Watch

_ASIDE = ("clock", "disk")
"""What may be another afterwards: the orchestrator keeps every order for good."""
_SETTLE_SECONDS = 180.0
_POINTS = 120
"""Of each line that is kept and drawn."""
_LINES = 100
"""Of what is left behind, that are kept."""
_WARM_RATE, _WARM_SECONDS = 0.5, 8.0


def idle(lab: Lab) -> Baseline:
    taken = difference.taken(lab)
    return {node: {what: lines for what, lines in state.items() if what not in _ASIDE} for node, state in taken.items()}


def left_behind(lab: Lab, before: Baseline) -> list[str]:
    """The lines that differ for good; what is only on its way out has its time."""
    found: list[str] = []

    def nothing() -> bool:
        found[:] = difference.lines(before, idle(lab))
        return not found

    with contextlib.suppress(DeadlineError):
        wait_for("every node is as it was", nothing, _SETTLE_SECONDS, interval=5.0)
    return found


def run(name: str | None, minutes: float, knee: float | None, standing: int, seed: int) -> dict[str, Any]:
    """The result as it is stored."""
    with running(name) as lab:
        aim = target(lab)
        tried: list[dict[str, object]] = []
        if knee is None:
            knee, tried = asyncio.run(find_knee(lab, aim, standing=standing))
            if not knee:
                raise BenchmarkError(f"not even the lowest rate was borne: {tried[0]}")
        # What the first orders of all make for good, such as a tenant's VRF, is no leak.
        asyncio.run(period(lab, aim, _WARM_RATE, _WARM_SECONDS, f"warm/{seed}", standing=standing))
        before = idle(lab)
        started = datetime.now(UTC)
        rate, seconds = knee / 2, 60 * minutes
        print(f"{rate:g} orders a second for {minutes:g} minutes", file=sys.stderr, flush=True)
        watch = Watch(lab)
        found = asyncio.run(period(lab, aim, rate, seconds, str(seed), watch, standing=standing))
        left = left_behind(lab, before)
    return told(found, watch, left, rate, knee, tried, seconds, seed, started) | {"standing": standing}


def told(
    found: Period, watch: Watch, left: list[str], rate: float, knee: float, tried: list[dict[str, object]],
    seconds: float, seed: int, started: datetime,
) -> dict[str, Any]:  # fmt: skip
    leaked = sum(line.startswith(("+", "-")) for line in left)
    void = found.seen.void
    return {
        "benchmark": "B15 soak",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "orders_a_second": rate,
        "seconds": seconds,
        "knee": {"orders_a_second": knee, "tried": tried},
        "subject": conditions.subject(),
        "weather": found.seen.skies[::30] or [conditions.weather()],
        "void": void,
        "milliseconds": {what: summary(values) for what, values in sorted(found.seen.durations().items())},
        "failed": found.seen.errors(),
        "steps": {name: summary(values, 3) for name, values in sorted(found.seen.steps().items())},
        "warm_up_seconds": seconds / PARTS,
        "looks_missed": watch.missed,
        "left_behind": left[:_LINES],
        "series": series(found, watch, seconds),
        "comparisons": [],
        **judged(watch.samples, found.applied, found.cycles, leaked, seconds, void),
    }


def series(found: Period, watch: Watch, seconds: float) -> list[dict[str, Any]]:
    """What is drawn: of each process, and of orders."""
    drawn = []
    for name, samples in sorted(watch.samples.items()):
        thin = samples[:: -(-len(samples) // _POINTS)]
        drawn.append(
            {
                "name": f"{name}: MiB and descriptors",
                "labels": [f"{one.at / 60:.1f}" for one in thin],
                "lines": {
                    "PSS": [round(one.proportional / 1024, 2) for one in thin],
                    "RSS": [round(one.resident / 1024, 2) for one in thin],
                    "descriptors": [one.descriptors for one in thin],
                },
            }
        )
    size = seconds / (4 * PARTS)
    parts = [[took for at, took in found.applied if size * n <= at < size * (n + 1)] for n in range(4 * PARTS)]
    labels = [f"{size * n / 60:.1f}" for n in range(4 * PARTS)]
    lines = {name: [summary(part)[name] if part else None for part in parts] for name in ("median", "p95")}
    return [{"name": "until applied, ms, by minutes", "labels": labels, "lines": lines}, *drawn]


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench soak", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--knee", type=float, help="orders a second that the stack bears; else it is looked for")
    parser.add_argument("--standing", type=int, default=STANDING, help="services that are there all the time")
    parser.add_argument("--lab", help="a running lab of yours with nothing ordered; else one is started")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.lab, asked.minutes, asked.knee, asked.standing, asked.seed)
    found = record.kept("soak", asked, made)
    promises, result = found.promises, found.content
    for name, one in promises.items():
        said = f"VOID: {one['void']}" if one["void"] else "kept" if one["kept"] else "MISSED"
        sure = f", 95 %: {one['low']:g} to {one['high']:g}" if "low" in one else ""
        print(f"{name:<48} {one['median']:>10g} (bound {one['bound']:g}{sure})  {said}")
    print(*result["left_behind"], sep="\n")
    for error, times in result["failed"].items():
        print(f"failed {times} times: {error}")
    return int(any(one["kept"] is False and not one["void"] for one in promises.values()))


if __name__ == "__main__":
    sys.exit(main())

"""B7, B8 and B9: how much the tunnels forward, beside the same by hand and plain forwarding, and how long it takes.

    labctl bench forwarding [--shapes …] [--sizes 64 imix 1400 1518] [--ways up down both] [--rounds 5] [--seed N]
                            [--search "GRE in ESP"] [--goals quick | csit | rfc2544] [--no-changes]

One lab (topology `forwarding`) holds all ways: tunnels that were ordered, the same made by hand (`perf.peers`), and two
routers with nothing between them. Frames leave by a ring that the generator shares with the kernel, and the kernel
counts them where they come out. Each round offers them on all ways, in the order that the seed decides; what the
generator makes with a cable alone is measured beside it in each round.

*MRR* is what comes out while as much as possible is offered. *NDR* and *PDR* are the highest rates at which nothing is
lost, and one frame in two hundred (MLRsearch). Then frames are timed while 0, 10, 50 and 90 % of PDR are offered. Last,
a site is added, a policy changed and a tunnel rekeyed under 90 % load; *blocked* is what was lost over what was
offered.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import secrets
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

from harness import topology
from harness.build.progress import Lines
from harness.lab import down, up
from harness.lab.timings import Timings
from perf import conditions, record
from perf.forwarding import blocked, frames, search
from perf.forwarding import lab as labs
from perf.forwarding.lane import DIRECTIONS, PLAIN, Load
from perf.forwarding.run import Benchmark, run
from perf.statistics import LEAST_ROUNDS, Series


def measure(asked: argparse.Namespace, name: str) -> dict[str, Any]:
    """All rounds on a lab of their own; the result as it is stored."""
    started = datetime.now(UTC)
    order = random.Random(asked.seed)  # noqa: S311 - the order of a benchmark is no secret
    lab = up(topology.load("forwarding"), name=name, progress=Lines(), timings=Timings())
    try:
        labs.build_by_hand(lab)
        customer, services = labs.order(lab, asked.shapes)
        lanes = labs.lanes(lab, asked.shapes)
        loads = [Load(size, way) for size, way in itertools.product(asked.sizes, asked.ways)]
        searched = (
            [
                (lane, Load(asked.search_size, asked.search_way))
                for lane in lanes
                if lane.shape in (*asked.search, PLAIN)
            ]
            if asked.search
            else []
        )
        benchmark = Benchmark(lab, lanes, loads, searched, asked.goals, asked.seconds, asked.timed, order)
        if asked.changes:
            changes = blocked.Changes(lab, customer, services["routed"])
            benchmark.blocked = blocked.prepare(changes, lanes, Load(asked.search_size, asked.search_way), asked.goals)
        skies = run(benchmark, asked.rounds)
        kind = json.loads((lab.place.folder / "host.json").read_text())["kind"]
    finally:
        lab.close()
        down(name)
    failures, made = benchmark.rounds.failures, benchmark.rounds.made
    return {
        "benchmark": "B7, B8 and B9 forwarding: frames in tunnels",
        "started": started.isoformat(timespec="seconds"),
        "seed": asked.seed,
        "subject": {**conditions.subject(), "host": kind},
        "weather": skies,
        "comparisons": [one.as_json() for one in benchmark.rounds.comparisons()],
        "generator": {size: Series.of(made).as_json() for size, made in benchmark.rounds.generator.items()},
        "failures": failures,
        **(benchmark.blocked.promises(len(failures), made(asked.search_size)) if benchmark.blocked else {}),
        "parts": benchmark.blocked.parts() if benchmark.blocked else {},
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"{'':<56}{'measured':>10}{'beside':>10}{'ratio':>7}  {'generator':<9}"]
    for one in result["comparisons"]:
        verdict = f"  VOID: {one['void']}" if one["void"] else "  BOUND MISSED" if one["kept"] is False else ""
        made = f"{one['headroom']:.1f} ×" if "headroom" in one else ""
        lines.append(
            f"{one['name']:<56}{one['ours']['median']:>10.0f}{one['floor']['median']:>10.0f}{one['ratio']:>7.2f}"
            f"  {made:<9}{verdict}"
        )
    for name, one in result.items():
        if name.startswith("blocked"):
            kept = f"  VOID: {one['void']}" if one["void"] else "" if one["kept"] else "  BOUND MISSED"
            lines.append(f"{name:<56}{one['median']:>10.1f}  (bound {one['bound']:g}, most {one['max']:g}){kept}")
    return "\n".join([*lines, *result["failures"]])


def arguments(parser: argparse.ArgumentParser) -> None:
    shapes = list(labs.SHAPES)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--shapes", nargs="+", choices=shapes, default=shapes)
    parser.add_argument("--sizes", nargs="+", choices=list(frames.SIZES), default=list(frames.SIZES))
    parser.add_argument("--ways", nargs="+", choices=list(DIRECTIONS), default=["both"])
    parser.add_argument("--seconds", type=float, default=0.2, help="of each trial for MRR")
    parser.add_argument("--search", nargs="*", choices=shapes, default=[labs.GRE_ESP], help="shapes to find NDR of")
    parser.add_argument("--search-size", choices=list(frames.SIZES), default="imix")
    parser.add_argument("--search-way", choices=list(DIRECTIONS), default="up")
    parser.add_argument("--goals", choices=list(search.GOALS), default="quick")
    parser.add_argument("--timed", type=float, default=1.0, help="seconds of each trial in which frames are timed")
    parser.add_argument(
        "--changes", action=argparse.BooleanOptionalAction, default=True, help="add, change and rekey under load"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench forwarding", description=(__doc__ or "").split("\n", 1)[0])
    arguments(parser)
    asked = parser.parse_args()
    if asked.changes and not set(blocked.TUNNELS) <= set(asked.shapes):
        parser.error(
            f"what is changed under load are {', '.join(blocked.TUNNELS)}: name them too, or give --no-changes"
        )
    result = record.kept("forwarding", asked, partial(measure, asked, f"perf-forwarding-{os.getpid()}")).content
    print(table(result))
    kept = [
        one["kept"] for one in (*result["comparisons"], *result.values()) if isinstance(one, dict) and "kept" in one
    ]
    return int(bool(result["failures"]) or False in kept)


if __name__ == "__main__":
    sys.exit(main())

"""B7, B8 and B9: how much the tunnels forward, beside the same by hand and plain forwarding, and how long it takes.

    labctl bench forwarding [--rounds 5] [--seconds 0.5] [--sizes 64 imix 1418 1518] [--ways up down both] [--seed N]

One lab (topology `forwarding`) holds all ways: tunnels that were ordered, the same made by hand (`perf.peers`), and two
routers with nothing between them. Frames leave by a ring that the generator shares with the kernel, and the kernel
counts them where they come out. Each round offers them on all ways, in the order that the seed decides; what the
generator makes with a cable alone is measured beside it in each round.

*MRR* is what comes out while as much as possible is offered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import topology
from harness.build.progress import Lines
from harness.lab import Lab, down, up
from harness.lab.timings import Timings
from perf import conditions, record
from perf.buying import Customer
from perf.forwarding import frames, ways
from perf.forwarding.path import Flow
from perf.forwarding.run import WAYS, Benchmark, Shape, rounds
from perf.peers import handmade
from perf.statistics import LEAST_ROUNDS, Series

ROUTED = (Flow("10.1.0.10", ways.SERVER, "10.1.0.1"),)


def prepare(lab: Lab) -> list[Shape]:
    """Order what is ours, and make the same by hand."""
    with tempfile.TemporaryDirectory(prefix="handmade-") as folder:
        handmade.build(lab, Path(folder))
    handmade.initiate(lab)
    customer = Customer(lab)
    customer.own("ucpe-1")
    serial = customer.devices["ucpe-1"].serial
    customer.internet({"name": "ours", "device": serial, "access": "routed", "gateway": "10.1.0.1/24"})
    ways.count_at_the_internet(lab, "pop", "hand-pop", "plain-pop")
    return [Shape("GRE in ESP", ways.by_hand(lab, "by hand", ROUTED), ways.ours(lab, "ours", ROUTED))]


def run(asked: argparse.Namespace, name: str) -> dict[str, Any]:
    """All rounds on a lab of their own; the result as it is stored."""
    started = datetime.now(UTC)
    lab = up(topology.load("forwarding"), name=name, progress=Lines(), timings=Timings())
    try:
        shapes = prepare(lab)
        order = random.Random(asked.seed)  # noqa: S311 - the order of a benchmark is no secret
        benchmark = Benchmark(lab, ways.plain(lab), shapes, asked.sizes, asked.ways, asked.seconds, order)
        skies = rounds(benchmark, asked.rounds)
        kind = json.loads((lab.place.folder / "host.json").read_text())["kind"]
    finally:
        lab.close()
        down(name)
    generator = {size: Series.of(made).as_json() for size, made in benchmark.rounds.generator.items()}
    return {
        "benchmark": "B7 forwarding: frames in tunnels",
        "started": started.isoformat(timespec="seconds"),
        "seed": asked.seed,
        "subject": {**conditions.subject(), "host": kind},
        "weather": skies,
        "comparisons": [one.as_json() for one in benchmark.comparisons()],
        "generator": generator,
        "failures": benchmark.rounds.failures,
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"{'frames a second':<34}{'measured':>10}{'beside':>10}{'ratio':>7}  {'generator':<9}"]
    for one in result["comparisons"]:
        verdict = f"  VOID: {one['void']}" if one["void"] else "  BOUND MISSED" if one["kept"] is False else ""
        made = f"{one['headroom']:.1f} ×" if "headroom" in one else ""
        lines.append(
            f"{one['name']:<34}{one['ours']['median']:>10.0f}{one['floor']['median']:>10.0f}{one['ratio']:>7.2f}"
            f"  {made:<9}{verdict}"
        )
    return "\n".join([*lines, *result["failures"]])


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench forwarding", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each trial")
    parser.add_argument("--sizes", nargs="+", choices=list(frames.SIZES), default=list(frames.SIZES))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    result = run(asked, f"perf-forwarding-{os.getpid()}")
    record.save("forwarding", result)
    print(table(result))
    return int(bool(result["failures"]) or any(one["kept"] is False for one in result["comparisons"]))


if __name__ == "__main__":
    sys.exit(main())

"""B1: how long `labctl up` and `labctl down` take, beside what their kernel objects and processes alone would.

    labctl bench lab [--topology demo plain] [--rounds 5] [--seed N]

A round brings each topology's floor up and down and then the lab, or the lab first, as the seed decides. The floor is
a lab host of the same kind, booted (counted apart), one batch of the same namespaces and links, and as many containers
in which one process sleeps (`perf.peers.floor`). What a user types is measured: the command, from its start to its end.
One round before the first is not counted: "warm" means that images, byte code and page cache are there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness import build, topology
from harness.engine import describe
from harness.host import LabPlace, choose, make_host
from harness.host.capabilities import local_capabilities
from harness.paths import ON_HOSTS, REPOSITORY
from perf import conditions, record
from perf.statistics import LEAST_ROUNDS, Comparison, Series, medians

# Seconds, warm. `up` ends when the orchestrator says that every site is up.
UP_BOUNDS = {"demo": 10.0}
DOWN_BOUND = 5.0
MOST_FLOORS = 2.0
"""So many times as long as its floor may it take."""
_SECONDS = 900
"""After which a command hangs."""
_PHASE = re.compile(r"([a-z]+) (\d+\.\d+)")


class BenchmarkError(RuntimeError):
    """Something that was to be measured failed."""


@dataclass
class Rounds:
    """What was measured of one topology, round by round."""

    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    floor: list[dict[str, float]] = field(default_factory=list)

    def comparisons(self, name: str) -> list[Comparison]:
        floor_up = Series.of(sum(parts[part] for part in ("boot", "links", "spawn")) for parts in self.floor)
        floor_down = Series.of(parts["stop"] for parts in self.floor)
        return [
            Comparison(f"up {name}", Series.of(self.up), floor_up, UP_BOUNDS.get(name), MOST_FLOORS),
            Comparison(f"down {name}", Series.of(self.down), floor_down, DOWN_BOUND, MOST_FLOORS),
        ]


def phases_of(output: str) -> dict[str, float]:
    """The phases that `labctl up` prints at its end: `up in 9.9 s (images 0.01, host 1.64, …)`."""
    found = re.search(r"up in [\d.]+ s \(([^)]*)\)", " ".join(output.split()))
    return {name: float(seconds) for name, seconds in _PHASE.findall(found[1])} if found else {}


def _labctl(*arguments: str) -> tuple[float, str]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "labctl.py"), *arguments],
        capture_output=True, text=True, check=False, timeout=_SECONDS, env={**os.environ, "COLUMNS": "500"},
    )  # fmt: skip
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise BenchmarkError(f"labctl {' '.join(arguments)}: exit status {done.returncode}:\n{done.stderr}")
    return seconds, done.stdout


def measure_ours(name: str, rounds: Rounds, look: Callable[[str], None] = lambda _: None) -> None:
    """One `up` and one `down` of a lab of its own. `name` is a topology's, or its file. In between `look` may have a
    look at the lab, by its name.
    """
    lab = f"perf-{Path(name).name.partition('.')[0]}-{os.getpid()}"
    try:
        seconds, output = _labctl("up", name, "--name", lab)
        rounds.up.append(seconds)
        rounds.phases.append(phases_of(output))
        look(lab)
    finally:
        seconds, _ = _labctl("down", lab)
    rounds.down.append(seconds)


def measure_floor(name: str, rounds: Rounds) -> None:
    """The same objects and as many processes on the same kind of host, without any lab."""
    wanted = topology.load(name)
    images = build.ensure(sorted({describe.image_of(node) for node in wanted.nodes.values()}))
    kind, _ = choose(wanted.requires, local_capabilities())
    with tempfile.TemporaryDirectory(prefix="floor-") as folder:
        host = make_host(kind, LabPlace("floor", Path(folder)), nodes=len(wanted.nodes))
        begun = time.monotonic()
        host.start()
        spent = {"boot": time.monotonic() - begun}
        try:
            without_binds = replace(wanted, nodes={n: replace(node, binds=()) for n, node in wanted.nodes.items()})
            world = describe.world(without_binds, "floor", host.slot, images, host.seen, {})
            environment = f"PYTHONPATH={':'.join(ON_HOSTS)}"
            command = host.command("env", environment, host.rootfs.python, "-m", "perf.peers.floor")
            done = subprocess.run(
                command, input=json.dumps(world), capture_output=True, text=True, check=False, timeout=_SECONDS
            )
            if done.returncode != 0:
                raise BenchmarkError(f"the floor of {name} failed: {done.stderr}")
            spent |= json.loads(done.stdout)
        finally:
            begun = time.monotonic()
            host.stop()
            spent["stop"] = time.monotonic() - begun
        if left := host.leftovers():
            raise BenchmarkError(f"the floor of {name} left {left}")
    rounds.floor.append(spent)


def run(names: list[str], count: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    measured = {name: Rounds() for name in names}
    skies: list[dict[str, object]] = []
    for number in range(-1, count):
        skies.append({"round": number, **conditions.weather()})
        for name in order.sample(names, len(names)):
            rounds = measured[name] if number >= 0 else Rounds()
            for measure in order.sample([measure_floor, measure_ours], 2):
                measure(name, rounds)
        print(f"round {number + 1} of {count} done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    return {
        "benchmark": "B1 lab up/down",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [c.as_json() for name, rounds in measured.items() for c in rounds.comparisons(name)],
        "phases": {name: medians(rounds.phases) for name, rounds in measured.items()},
        "floor_parts": {name: medians(rounds.floor) for name, rounds in measured.items()},
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"{'':<12}{'median':>8}{'min':>8}{'max':>8}{'floor':>8}{'ratio':>7}{'bound':>7}{'ratio':>7}"]
    for one in result["comparisons"]:
        ours, floor = one["ours"], one["floor"]
        verdict = f"  VOID: {one['void']}" if one["void"] else "" if one["kept"] else "  BOUND MISSED"
        lines.append(
            f"{one['name']:<12}{ours['median']:>8.2f}{ours['min']:>8.2f}{ours['max']:>8.2f}"
            f"{floor['median']:>8.2f}{one['ratio']:>7.1f}{_number(one['bound'])}{_number(one['most_ratio'])}{verdict}"
        )
    lines += [f"phases of {name}: {phases}" for name, phases in result["phases"].items()]
    lines += [f"floor of {name}: {parts}" for name, parts in result["floor_parts"].items()]
    return "\n".join(lines)


def _number(bound: float | None) -> str:
    return f"{'' if bound is None else f'≤ {bound:g}':>7}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench lab", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--topology", nargs="+", default=["demo", "plain"])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    result = record.kept("lab", asked, partial(run, asked.topology, asked.rounds, asked.seed)).content
    print(table(result))
    return int(any(one["kept"] is False for one in result["comparisons"]))


if __name__ == "__main__":
    sys.exit(main())

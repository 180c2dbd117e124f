"""B2, B3: a controller and thousands of boxes, beside OpenDaylight's simulator and controller.

    labctl bench devices [--devices 10 100 500 1000] [--rounds 5] [--seed N] [--without agents testtool lighty]

A round has, for each number of boxes and in the order that the seed decides, ours and the peer. Ours: the
orchestrator's components, each a process with its own database on a disk, and the simulator (`perf.simulator`) on the
loopback of a namespace of their own; boxes bootstrap first, which is not counted. Then: how long until all are managed,
until they are again after kill -9 of the controller, until a site at each is built by one commit over all, and until
all are managed again with their sites. The peers: as many devices of netconf-testtool in one JVM, with a session each;
and a real OpenDaylight controller (lighty.io) that connects as many of these, twice, and is read by ten. What those who
read can do is measured at an application that does nothing. *Agents* are as many boxes that listen for SSH, and their
floor as many echo subsystems on the same library: sessions opened, configurations read and edits committed in a second.
"""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.build.chroot import Bind
from harness.build.progress import Lines
from harness.build.store import Store, cache_dir
from perf import conditions, inside, record
from perf.devices import beside, lighty, testtool
from perf.report import verdict
from perf.statistics import LEAST_ROUNDS, MOST_SPREAD

Promise = dict[str, float | bool | str]
SIZES = (10, 100, 500, 1000)
PEERS = ("ours", "agents", "testtool", "lighty")
#: What was promised: for 1,000 boxes on two processors.
RESTART_BOUND, SITES_BOUND, MEMORY_RATIO, LEAST_EDITS = 10.0, 60.0, 2.0, 500.0


def measure(who: str, devices: int, disk: Path, programs: Mapping[str, Path]) -> dict[str, float]:
    """One of them, once, in a namespace and a root of its own."""
    words = ["--who", who, "--devices", str(devices)]
    words += [word for name, path in programs.items() for word in (f"--{name}", str(path))]
    # A jar and the folder of many are in one folder of the cache.
    places = {path.parent for path in programs.values()}
    return inside.run("perf.devices.inside", words, disk, [Bind(place, str(place)) for place in places])


def summary(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    return {
        name: {
            "median": round(statistics.median(values), 4),
            "min": round(min(values), 4),
            "max": round(max(values), 4),
        }
        for name in rounds[0]
        if (values := [one[name] for one in rounds])
    }


def verdicts(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Promise]:
    """The promises that this run can speak of, and whether they are kept."""
    most = found.get("1000")
    if most is None or "ours" not in most:
        return {}
    ours = most["ours"]
    promised = {
        "restart": _at_most(ours["restart s"]["median"], RESTART_BOUND),
        "restart with sites": _at_most(ours["restart with sites s"]["median"], RESTART_BOUND),
        "sites": _at_most(ours["sites, built s"]["median"], SITES_BOUND),
        "edits a second": _at_least(ours["edits a second"]["median"], LEAST_EDITS),
    }
    if "testtool" in most:
        promised["memory"] = _ratio(ours, most["testtool"], "MB in all")
        # A session of ours is encrypted, and so are these.
        promised["memory a device"] = _ratio(ours, most["testtool"], "MB a device")
    return promised


def _ratio(ours: Mapping[str, Any], peer: Mapping[str, Any], figure: str) -> Promise:
    """Of memory to the peer's; VOID beside one that has another figure in each round, or nothing left of it."""
    mine, theirs = ours[figure]["median"], peer[figure]
    promised = _at_most(round(mine / theirs["median"], 3) if theirs["median"] > 0 else 0.0, MEMORY_RATIO)
    if theirs["min"] > 0 and theirs["max"] / theirs["min"] <= MOST_SPREAD:
        return promised
    seen = f"{theirs['min']:g} to {theirs['max']:g}"
    return promised | {"void": f"netconf-testtool's {figure}: {seen}, the most is over {MOST_SPREAD} times the least"}


def _at_most(median: float, bound: float) -> Promise:
    return {"median": median, "bound": bound, "kept": median <= bound}


def _at_least(median: float, bound: float) -> Promise:
    return {"median": median, "bound": bound, "at least": True, "kept": median >= bound}


def run(sizes: list[int], times: int, seed: int, peers: list[str]) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    progress = Lines()
    store = Store()
    programs: dict[str, Path] = {}
    if {"testtool", "lighty"} & set(peers):
        programs["jar"] = testtool.fetch(store, progress)
    if "lighty" in peers:
        programs["libraries"] = lighty.fetch(store, progress)
    # Who reads is part of the comparison with a controller.
    turns = [*(who for who in peers if who != "agents"), *(("box", "echo") if "agents" in peers else ())]
    turns += ["clients"] if {"ours", "lighty"} <= set(peers) else []
    measured: dict[int, dict[str, list[dict[str, float]]]] = {size: {who: [] for who in turns} for size in sizes}
    skies: list[dict[str, object]] = []
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="devices-", dir=cache_dir()) as disk:
        for number in range(times):
            skies.append({"round": number, **conditions.weather()})
            for size in order.sample(sizes, len(sizes)):
                for who in order.sample(turns, len(turns)):
                    found = measure(who, size, Path(disk), programs if who in ("testtool", "lighty") else {})
                    measured[size][who].append(found)
                    print(f"round {number + 1} of {times}: {who} {size}: {found}", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    summed = {str(size): {who: summary(rounds) for who, rounds in by.items()} for size, by in measured.items()}
    return {
        "benchmark": "B2 devices",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "rounds": times,
        "void": "" if times >= LEAST_ROUNDS else f"{times} rounds are fewer than {LEAST_ROUNDS}",
        "subject": conditions.subject() | {"netconf-testtool": testtool.VERSION, "lighty": lighty.VERSION},
        "weather": skies,
        "comparisons": [one.as_json() for size, by in measured.items() for one in beside.compared(size, by)],
        "found": summed,
        "each": {str(size): by for size, by in measured.items()},
        **verdicts(summed),
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [f"VOID: {result['void']}"] if result["void"] else []
    for size, by in result["found"].items():
        for who, figures in by.items():
            lines.append(f"{who}, {size} devices")
            lines += [
                f"  {name:<26}{one['median']:>10.2f}  ({one['min']:.2f} to {one['max']:.2f})"
                for name, one in figures.items()
            ]
    lines += [_line(one) for one in result["comparisons"]]
    for name, one in verdicts(result["found"]).items():
        lines.append(f"{name}: {one['median']:g} (bound {one['bound']:g}): {verdict(one)}")
    return "\n".join(lines)


def _line(one: dict[str, Any]) -> str:
    first, second = one["ours"]["median"], one["floor"]["median"]
    told = f"{one['measured']} {first:.2f}, {one['against']} {second:.2f} {one['unit']}: {one['ratio']:.2f} ×"
    return f"{one['name']}: {told}  {verdict(one)}".rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m perf.devices", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--devices", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--without", choices=PEERS, nargs="*", default=[])
    asked = parser.parse_args()
    peers = [who for who in PEERS if who not in asked.without]
    result = record.kept("devices", asked, partial(run, asked.devices, asked.rounds, asked.seed, peers)).content
    print(table(result))
    kept = [one["kept"] for one in (*verdicts(result["found"]).values(), *result["comparisons"])]
    return int(False in kept)


if __name__ == "__main__":
    sys.exit(main())

"""B4: durable edits over RESTCONF, beside a web application that only commits.

    labctl bench edits [--sites 0 200] [--clients 16] [--rounds 5] [--seed N]

The orchestrator's identity, manager and controller, each a process, on the loopback of a namespace of their own.
Clients with a connection each change a VPN each, again and again, among so many ordered sites; an answer says that the
change is on the disk. The floor is Starlette with a transaction of SQLite (synchronous FULL) for each request, the same
clients, TLS and disk. What the clients can do is measured at the same application that keeps nothing.
"""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.build.store import cache_dir
from perf import conditions, inside, record
from perf.report import verdict
from perf.statistics import LEAST_ROUNDS, Comparison, Series, promise

LEAST = 500.0
"""Edits a second that were promised."""
FLOORS = 3
"""Times in a round, of which the median counts: a disk that others share is seldom as fast twice."""
_RATE = "edits a second"


def measure(who: str, sites: int, clients: int, disk: Path) -> dict[str, float]:
    words = ["--who", who, "--sites", str(sites), "--clients", str(clients)]
    return inside.run("perf.edits.inside", words, disk)


def run(sizes: list[int], clients: int, times: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    turns = [*[("floor", 0)] * FLOORS, ("clients", 0), *(("ours", sites) for sites in sizes)]
    rounds: list[dict[str, list[dict[str, float]]]] = []
    skies: list[dict[str, object]] = []
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edits-", dir=cache_dir()) as disk:
        for number in range(times):
            skies.append({"round": number, **conditions.weather()})
            found: dict[str, list[dict[str, float]]] = {}
            for who, sites in order.sample(turns, len(turns)):
                name = f"ours, {sites} sites" if who == "ours" else who
                found.setdefault(name, []).append(measure(who, sites, clients, Path(disk)))
                print(f"round {number + 1} of {times}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
            rounds.append(found)
    skies.append({"round": "end", **conditions.weather()})
    beside = [compared(rounds, sites) for sites in sizes]
    return {
        "benchmark": "B4 edits",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "clients": clients,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [one.as_json() for one in beside],
        "edits_a_second": promise(beside[0].ours.values, LEAST, at_least=True, void=beside[0].void),
        "each": rounds,
    }


def compared(rounds: list[dict[str, list[dict[str, float]]]], sites: int) -> Comparison:
    """Ours beside the floor; of what a round has several times, the median."""
    rate = {who: [statistics.median(each[_RATE] for each in one[who]) for one in rounds] for who in rounds[0]}
    ours = rate[f"ours, {sites} sites"]
    return Comparison(
        f"edits among {sites} sites",
        Series.of(ours),
        Series.of(rate["floor"]),
        unit="/s",
        headroom=statistics.median(rate["clients"]) / statistics.median(ours),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench edits", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[0, 200])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.sites, asked.clients, asked.rounds, asked.seed)
    result = record.kept("edits", asked, made).content
    for one in result["comparisons"]:
        ours, floor = one["ours"]["median"], one["floor"]["median"]
        void = f"  VOID: {one['void']}" if one["void"] else ""
        print(f"{one['name']:<24} {ours:8.1f}/s  floor {floor:8.1f}/s  ratio {one['ratio']:.2f}{void}")
    each = result["edits_a_second"]
    print(f"promised {each['bound']:g}/s: {verdict(each)}")
    return int(not each["kept"])


if __name__ == "__main__":
    sys.exit(main())

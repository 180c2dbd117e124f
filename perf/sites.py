"""B1, scale: how long `labctl up` takes for 1 to 100 sites, and what one site more costs among few and many.

    labctl bench sites [--sites 1 5 20 50 100] [--rounds 5] [--seed N]

Each site is a routed branch with a box and a host, ordered to the Internet by an order of its own; all share one POP,
one orchestrator and one small Internet. The floor is that of `perf.lab`: the same links and as many containers with
one process that sleeps. A round has all sizes, in the order that the seed decides. When a lab is up, what the agent of
its first box has cost is read there (`perf.agents`). `--write FOLDER` only writes the topologies.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from perf import agents, conditions, record
from perf.lab import Rounds, measure_floor, measure_ours
from perf.report import verdict
from perf.statistics import LEAST_ROUNDS, Comparison, medians

SIZES = (1, 5, 20, 50, 100)
HEALTHY_SITES, HEALTHY_SECONDS = 100, 60.0
"""So many sites are registered, ordered and healthy within so many seconds, on two processors."""
FLAT = 1.25
"""So many times may a site among the most cost what one among fewer costs."""
GROWTH = "a site more among the most, over one among fewer"
BOX = "ucpe-1"
_BOOTSTRAP = "https://203.0.113.6:8572"
_MOST = 250
_LINES = IPv4Network("198.18.0.0/15")
"""Access lines, of two addresses each: there for measurements (RFC 2544, appendix C.2.2; RFC 6890, table 5)."""


def _labels(**values: str) -> dict[str, str]:
    return {f"elasticlab.{key}": value for key, value in values.items()}


def _box(role: str, serial: str, model: str, site: str, wan: str) -> dict[str, Any]:
    labels = _labels(role=role, serial=serial, model=model, site=site, wan=wan, bootstrap=_BOOTSTRAP, ready="tcp:830")
    return {"image": "elasticlab/element:latest", "labels": labels}


def _endpoint(role: str, site: str, commands: list[str], **labels: str) -> dict[str, Any]:
    image = "elasticlab/endpoint:latest"
    return {"image": image, "labels": _labels(role=role, site=site, **labels), "exec": commands}


def serial(site: int) -> str:
    return f"EL-UCPE-{site:04d}"


def topology(sites: int) -> dict[str, Any]:
    """As many branches around one POP."""
    if not 1 <= sites <= _MOST:
        raise ValueError(f"the small Internet has access lines for 1 to {_MOST} sites, not {sites}")
    stack = {
        "image": "elasticlab/stack:latest",
        "labels": _labels(role="stack", site="cloud", wan="203.0.113.6/30 via 203.0.113.5", ready="tcp:443,tcp:8444"),
        "exec": ["ip address replace 203.0.113.6/30 dev wan", "ip route replace default via 203.0.113.5"],
    }
    nodes = {
        "stack": stack,
        "vmsr-1": _box("vmsr", "EL-VMSR-0001", "vmsr-x86", "pop-1", "203.0.113.2/30 via 203.0.113.1"),
    }
    links = [["vmsr-1:wan", "internet:pop"], ["stack:wan", "internet:cloud"]]
    router = [
        "ip address replace 203.0.113.1/30 dev pop",
        "ip address replace 203.0.113.5/30 dev cloud",
        "ip address replace 198.51.100.80/32 dev lo",
        "ip route replace unreachable 10.0.0.0/8",
    ]
    for number in range(1, sites + 1):
        theirs, ours, site = _LINES[4 * number + 1], _LINES[4 * number + 2], f"branch-{number}"
        wan = f"{ours}/30 via {theirs}"
        nodes[f"ucpe-{number}"] = _box("ucpe", serial(number), "ucpe-100", site, wan)
        lan = [f"ip address replace 10.{number}.0.10/24 dev lan", f"ip route replace default via 10.{number}.0.1"]
        nodes[f"host-{number}"] = _endpoint("host", site, lan, ready="ping:198.51.100.80")
        links += [[f"ucpe-{number}:wan", f"internet:access-{number}"], [f"host-{number}:lan", f"ucpe-{number}:lan"]]
        router.append(f"ip address replace {theirs}/30 dev access-{number}")
    nodes["internet"] = _endpoint("router", "internet", router) | {"sysctls": {"net.ipv4.ip_forward": "1"}}
    return {
        "name": f"sites-{sites}",
        "topology": {
            "defaults": {"kind": "linux"},
            "nodes": nodes,
            "links": [{"endpoints": ends, "mtu": 1500} for ends in links],
        },
    }


def order(number: int) -> dict[str, Any]:
    """What one site's owner orders."""
    site = {
        "name": f"branch-{number}",
        "device": serial(number),
        "access": "routed",
        "gateway": f"10.{number}.0.1/24",
    }
    service = {
        "name": f"branch-{number}-internet",
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": "site", "value": site}],
    }
    item = {"id": "1", "action": "add", "service": service}
    return {"tenant": "acme", "order": {"description": f"Branch {number}", "serviceOrderItem": [item]}}


def write(folder: Path, sites: int) -> Path:
    """The topology's file, with its orders beside it."""
    orders = folder / f"sites-{sites}" / "orders"
    orders.mkdir(parents=True)
    for number in range(1, sites + 1):
        (orders / f"branch-{number:03d}.json").write_text(json.dumps(order(number), indent=1))
    file = orders.parent / f"sites-{sites}.clab.yml"
    file.write_text(yaml.safe_dump(topology(sites), sort_keys=False))
    return file


def growth(medians_by_size: Mapping[int, float]) -> dict[str, object]:
    """Seconds that a site more costs, from size to size. That it costs no more among the most than before is promised,
    where there are enough sizes to say so.
    """
    steps = [
        {
            "from": few,
            "to": many,
            "seconds_a_site": round((medians_by_size[many] - medians_by_size[few]) / (many - few), 3),
        }
        for few, many in pairwise(sorted(medians_by_size))
    ]
    costs = [float(str(step["seconds_a_site"])) for step in steps]
    if len(costs) < 2 or costs[-2] <= 0:
        return {"steps": steps}
    ratio = round(costs[-1] / costs[-2], 3)
    return {"steps": steps, "median": ratio, "bound": FLAT, "kept": ratio <= FLAT}


def healthy(ups: Mapping[int, Comparison]) -> dict[str, dict[str, object]]:
    """The promise about so many sites, if there were so many; void as the comparison with the floor is."""
    if (up := ups.get(HEALTHY_SITES)) is None:
        return {}
    kept = up.ours.median <= HEALTHY_SECONDS
    promise = {**up.ours.as_json(), "bound": HEALTHY_SECONDS, "kept": kept, "void": up.void}
    return {f"{HEALTHY_SITES} sites up and healthy, s": promise}


def told(measured: Mapping[int, Rounds], seen: Mapping[int, Sequence[agents.Seen]]) -> dict[str, object]:
    """What was found, as it is stored."""
    pairs = {size: rounds.comparisons(f"{size} sites") for size, rounds in measured.items()}
    ups = {size: Comparison(up.name, up.ours, up.floor) for size, (up, _) in pairs.items()}
    downs = {size: Comparison(down.name, down.ours, down.floor) for size, (_, down) in pairs.items()}
    compared = [one for size in measured for one in (ups[size], downs[size])]
    compared += [one for size, looks in seen.items() for one in agents.comparisons(f"{size} sites", looks)]
    sizes = sorted(ups)
    lines = {"up": [ups[size].ours.median for size in sizes], "floor": [ups[size].floor.median for size in sizes]}
    return {
        "comparisons": [comparison.as_json() for comparison in compared],
        **healthy(ups),
        GROWTH: growth({size: up.ours.median for size, up in ups.items()}),
        "series": [{"name": "seconds until all sites are healthy", "labels": list(map(str, sizes)), "lines": lines}],
        "phases": {str(size): medians(rounds.phases) for size, rounds in measured.items()},
        "floor_parts": {str(size): medians(rounds.floor) for size, rounds in measured.items()},
    }


def run(sizes: list[int], count: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    sequence = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    measured = {size: Rounds() for size in sizes}
    seen: dict[int, list[agents.Seen]] = {size: [] for size in sizes}
    skies: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="sites-") as place:
        files = {size: str(write(Path(place), size)) for size in sizes}

        def measure(size: int) -> None:
            turns: list[Callable[[], None]] = [
                lambda: measure_floor(files[size], measured[size]),
                lambda: measure_ours(files[size], measured[size], lambda lab: seen[size].append(agents.look(lab, BOX))),
            ]
            for turn in sequence.sample(turns, len(turns)):
                turn()

        measure_ours(files[min(sizes)], Rounds())  # not counted: images, byte code and page cache are there then
        for number in range(count):
            skies.append({"round": number, **conditions.weather()})
            for size in sequence.sample(sizes, len(sizes)):
                measure(size)
                print(f"round {number + 1} of {count}: {size} sites done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    return {
        "benchmark": "B1 sites",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        **told(measured, seen),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench sites", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sites", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--write", type=Path, help="only write the topologies into this folder")
    asked = parser.parse_args()
    if asked.write:
        for size in asked.sites:
            print(write(asked.write, size))
        return 0
    result = record.kept("sites", asked, partial(run, asked.sites, asked.rounds, asked.seed)).content
    for one in result["comparisons"]:
        ours, floor = f"{one['ours']['median']:7.2f} {one['unit']}", f"{one['floor']['median']:6.2f} {one['unit']}"
        print(f"{one['name']:<14} {ours}  {one['against']} {floor}  {verdict(one)}".rstrip())
    for size, phases in result["phases"].items():
        print(f"phases of {size}: {phases}")
    for step in result[GROWTH]["steps"]:
        print(f"from {step['from']} to {step['to']} sites: {step['seconds_a_site']:.2f} s a site")
    promises = {name: one for name, one in result.items() if isinstance(one, dict) and "kept" in one}
    for name, one in promises.items():
        print(f"{name}: {one['median']:g} (bound {one['bound']:g})  {verdict(one)}")
    return int(not all(one["kept"] for one in promises.values()))


if __name__ == "__main__":
    sys.exit(main())

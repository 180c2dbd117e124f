"""B1, peer: our engine and containerlab make the same graphs on the same lab kernel, beside their floor, in one run.

    labctl bench engines [--sites 1 5 20 50] [--nodes 20] [--rounds 5] [--seed N]

The graphs are those of `perf.sites`, in which each node's first process sleeps (what the software of the images does
then is measured there), and a ring of hosts that do nothing. containerlab is the real one with a Docker daemon that is
up and has the images; it gets the topology file as it is, so its links are its own. Both are programs that are started
for one graph, over the same SSH, and timed from their start to their end. How much sooner an agent is through that
runs already, which is what `labctl up` asks, is told apart.

The floor is one netlink batch and a process for each node (`perf.peers.floor`). It says its seconds itself, so no
start of a program is in them; it is taken five times in each round, of which the median counts, because it is so short.
Ours and the floor have one lab host, containerlab another: the same kernel with what each needs. Each round has all, in
the order that the seed decides. What all start from (the booted lab kernel, the images) is not counted. One round
before the first is not counted either.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from harness import build, topology
from harness.build.progress import Lines
from harness.engine import describe
from harness.engine.base import World
from harness.engine.disk import IMAGE, ensure_disk
from harness.host import LabPlace, make_host
from harness.host.channel import Agent
from harness.host.common import KeptHost
from harness.paths import ON_HOSTS
from harness.topology import Topology
from perf import conditions, record, sites
from perf.lab import MOST_FLOORS, BenchmarkError
from perf.report import verdict
from perf.statistics import LEAST_ROUNDS, Comparison, Series, medians

SIZES = (1, 5, 20, 50)
LEAST_RATIO = 5.0
"""Of the ring, as it always was. With few nodes the start of a program is most of what ours takes."""
_FLOORS = 5
"""A round's floor is the median of so many: some take a hundredth of a second, in which any neighbour is seen."""
_KIND = "lab-kernel"
_SECONDS = 1800
_MANY = "172.20.0.0/16"
"""containerlab's own management network has room for 253 nodes."""


def ring(nodes: int) -> dict[str, Any]:
    """Each node has a cable to the next."""
    names = [f"node-{number}" for number in range(nodes)]
    following = [*names[1:], names[0]]
    ends = [[f"{one}:right", f"{other}:left"] for one, other in zip(names, following, strict=True)]
    return {
        "name": "ring",
        "topology": {
            "defaults": {"kind": "linux", "image": "elasticlab/endpoint:latest"},
            "nodes": {name: {} for name in names},
            "links": [{"endpoints": pair, "mtu": 1500} for pair in ends],
        },
    }


def idle(number: int) -> dict[str, Any]:
    """So many sites whose nodes do nothing: which engine is the faster is no question of what else starts meanwhile."""
    wanted = sites.topology(number)
    wanted["topology"]["defaults"]["cmd"] = "sleep infinity"
    return {**wanted, "mgmt": {"ipv4-subnet": _MANY}}


def graphs(sizes: Sequence[int], nodes: int) -> dict[str, dict[str, Any]]:
    """What is made, by what it is called."""
    return {str(nodes): ring(nodes), **{f"{size} site{'s' * (size > 1)}": idle(size) for size in sizes}}


@dataclass
class Times:
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """Of one graph, round by round."""

    ours: Times = field(default_factory=Times)
    asked: Times = field(default_factory=Times)
    """An agent that runs already."""
    peer: Times = field(default_factory=Times)
    floor: Times = field(default_factory=Times)
    parts: list[dict[str, float]] = field(default_factory=list)

    def as_json(self, name: str, least_ratio: float | None = None) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for way in ("up", "down"):
            ours, asked, peer, floor = (
                Series.of(getattr(times, way)) for times in (self.ours, self.asked, self.peer, self.floor)
            )
            beside = Comparison(f"{way} {name}, ours", ours, floor, most_ratio=MOST_FLOORS)
            # How many of ours fit into one of containerlab's.
            other = Comparison(
                f"{way} {name}", peer, ours, least_ratio=least_ratio, measured="containerlab", against="ours"
            )
            start = Comparison(f"{way} {name}, started for it", ours, asked, against="an agent that runs")
            # The floor says whether the machine stood still, also where ours stands in its place.
            found += [{**one.as_json(), "void": beside.void} for one in (other, beside, start)]
        return found


@dataclass(frozen=True)
class Graph:
    """One that is there as a file and as the agent wants it."""

    file: Path
    world: World


def _timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def _run(host: KeptHost, what: str, command: Sequence[str], given: str = "") -> str:
    """What a program says that is started on a lab host."""
    done = subprocess.run(
        host.command(*command), input=given, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{what}: exit status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def _python(host: KeptHost, module: str, *words: str) -> list[str]:
    # Compiled once, as for the agents of a lab host.
    environment = (f"PYTHONPATH={':'.join(ON_HOSTS)}", "PYTHONPYCACHEPREFIX=/run/elasticlab/code")
    return ["env", *environment, host.rootfs.python, "-m", module, *words]


def measure_floor(host: KeptHost, graph: Graph, measured: Measured) -> None:
    given, program = json.dumps(graph.world), _python(host, "perf.peers.floor", "--remove")
    found: list[dict[str, float]] = [json.loads(_run(host, "the floor", program, given)) for _ in range(_FLOORS)]
    parts = {part: median(one[part] for one in found) for part in found[0]}
    measured.floor.up.append(parts["links"] + parts["spawn"])
    measured.floor.down.append(parts["remove"])
    measured.parts.append(parts)


def measure_native(host: KeptHost, graph: Graph, times: Times) -> None:
    given = json.dumps(graph.world)

    def run(action: str) -> None:
        _run(host, f"our engine's {action}", _python(host, "perf.native", action), given)

    times.up.append(_timed(lambda: run("build")))
    times.down.append(_timed(lambda: run("demolish")))


def measure_asked(agent: Agent, graph: Graph, times: Times) -> None:
    times.up.append(_timed(lambda: agent.call("build", _SECONDS, world=graph.world, later=[])))
    times.down.append(_timed(lambda: agent.call("demolish", _SECONDS, world=graph.world)))


def measure_containerlab(host: KeptHost, graph: Graph, times: Times) -> None:
    def run(*arguments: str) -> None:
        environment = ("env", "CLAB_VERSION_CHECK=disable", "CLAB_LABDIR_BASE=/tmp")
        program = ("/opt/containerlab/bin/containerlab", *arguments, "--topo", host.seen(graph.file))
        _run(host, f"containerlab {arguments[0]}", (*environment, *program))

    times.up.append(_timed(lambda: run("deploy")))
    times.down.append(_timed(lambda: run("destroy", "--cleanup")))


@contextmanager
def _running(host: KeptHost) -> Iterator[Agent]:
    host.start()
    try:
        with closing(host.agent()) as agent:
            yield agent
    finally:
        host.stop()


def _write(folder: Path, name: str, wanted: dict[str, Any]) -> Path:
    file = folder / f"{name.replace(' ', '-')}.clab.yml"
    file.write_text(yaml.safe_dump(wanted, sort_keys=False))
    return file


@dataclass(frozen=True)
class Bench:
    """The lab hosts: of ours and the floor, and of containerlab."""

    native: KeptHost
    agent: Agent
    docker: KeptHost

    def measure(self, graph: Graph, measured: Measured, order: random.Random) -> None:
        """One round of one graph."""
        turns: list[Callable[[], None]] = [
            lambda: measure_floor(self.native, graph, measured),
            lambda: measure_native(self.native, graph, measured.ours),
            lambda: measure_asked(self.agent, graph, measured.asked),
            lambda: measure_containerlab(self.docker, graph, measured.peer),
        ]
        for turn in order.sample(turns, len(turns)):
            turn()


@contextmanager
def _bench(place: Path, loaded: Mapping[str, Topology]) -> Iterator[tuple[Bench, dict[str, Graph]]]:
    """The hosts, booted, and the graphs as both want them."""
    ours, theirs = place / "native", place / "containerlab"
    images = build.ensure(sorted({describe.image_of(node) for one in loaded.values() for node in one.nodes.values()}))
    nodes = max(len(one.nodes) for one in loaded.values())
    disk = ensure_disk(images, _KIND, Lines())
    native = make_host(_KIND, LabPlace("engines", ours), nodes=nodes)
    docker = make_host(_KIND, LabPlace("engines-containerlab", theirs), IMAGE, disk, nodes)
    with _running(native) as agent, _running(docker) as daemon:
        daemon.call("node.states")  # the Docker daemon is up
        (ours / "hosts").write_text("127.0.0.1 localhost\n")
        yield (
            Bench(native, agent, docker),
            {
                name: Graph(one.path, describe.world(one, one.name, native.slot, images, native.seen, {}))
                for name, one in loaded.items()
            },
        )


def run(sizes: Sequence[int], nodes: int, count: int, seed: int) -> dict[str, Any]:
    """All rounds; the result as it is stored."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    wanted = graphs(sizes, nodes)
    measured = {name: Measured() for name in wanted}
    skies: list[dict[str, object]] = []
    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="engines-") as place:
        folder = Path(place) / "containerlab"
        folder.mkdir()
        loaded = {name: topology.load(_write(folder, name, one)) for name, one in wanted.items()}
        with _bench(Path(place), loaded) as (bench, made):
            for number in range(-1, count):
                skies.append({"round": number, **conditions.weather()})
                starts.append(_timed(lambda: _run(bench.native, "a command that does nothing", ["true"])))
                for name in order.sample(list(made), len(made)):
                    bench.measure(made[name], measured[name] if number >= 0 else Measured(), order)
                    print(f"round {number + 1} of {count}: {name} done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    return {
        "benchmark": "B1 engines: containerlab beside ours",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [
            told
            for name, one in measured.items()
            for told in one.as_json(name, LEAST_RATIO if name == str(nodes) else None)
        ],
        "floor_parts": {name: medians(one.parts) for name, one in measured.items()},
        "nothing_over_ssh": Series.of(starts[1:]).as_json(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench engines", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sites", type=int, nargs="*", default=list(SIZES), help="graphs of so many sites")
    parser.add_argument("--nodes", type=int, default=20, help="of the ring")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    made = partial(run, asked.sites, asked.nodes, asked.rounds, asked.seed)
    result = record.kept("engines", asked, made).content
    for one in result["comparisons"]:
        first, second = one["ours"]["median"], one["floor"]["median"]
        told = f"{one['measured']} {first:.2f} s, {one['against']} {second:.2f} s: {one['ratio']:.1f} x"
        print(f"{one['name']}: {told}  {verdict(one)}".rstrip())
    print(f"a command that does nothing, over SSH: {result['nothing_over_ssh']['median']:.3f} s")
    return int(any(one["kept"] is False for one in result["comparisons"]))


if __name__ == "__main__":
    sys.exit(main())

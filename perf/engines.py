"""B1, peer: how long our engine and containerlab take for the same graph, on the same lab kernel, in the same run.

    labctl bench engines [--nodes 20] [--rounds 5] [--seed N]

The graph is a ring of hosts that do nothing. containerlab is the real one with a Docker daemon that is up and has the
images; it gets the topology file as it is, so its links are its own. Each engine has a lab host of its own, the same
kernel with what that engine needs. Each round has both, in the order that the seed decides. What both start from (the
booted lab kernel, the images) is not counted. One round before the first is not counted either.
"""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness import build, topology
from harness.build.progress import Lines
from harness.engine import describe
from harness.engine.base import World
from harness.engine.disk import IMAGE, ensure_disk
from harness.host import LabPlace, make_host
from harness.host.channel import Agent
from harness.host.common import KeptHost
from perf import conditions, record
from perf.lab import BenchmarkError
from perf.statistics import LEAST_ROUNDS, Comparison, Series

LEAST_RATIO = 5.0
_KIND = "lab-kernel"
_SECONDS = 300


def ring(nodes: int) -> str:
    """The graph as a topology file: each node has a cable to the next."""
    names = "".join(f"    node-{number}: {{}}\n" for number in range(nodes))
    links = "".join(
        f'    - endpoints: ["node-{number}:right", "node-{(number + 1) % nodes}:left"]\n      mtu: 1500\n'
        for number in range(nodes)
    )
    defaults = "  defaults: {kind: linux, image: 'elasticlab/endpoint:latest'}\n"
    return f"name: ring\ntopology:\n{defaults}  nodes:\n{names}  links:\n{links}"


@dataclass
class Times:
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


def _timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def measure_native(agent: Agent, world: World, times: Times) -> None:
    times.up.append(_timed(lambda: agent.call("build", _SECONDS, world=world, later=[])))
    times.down.append(_timed(lambda: agent.call("demolish", _SECONDS, world=world)))


def measure_containerlab(host: KeptHost, file: str, times: Times) -> None:
    def run(*arguments: str) -> None:
        environment = ("env", "CLAB_VERSION_CHECK=disable", "CLAB_LABDIR_BASE=/tmp")
        command = host.command(*environment, "/opt/containerlab/bin/containerlab", *arguments, "--topo", file)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        if done.returncode != 0:
            raise BenchmarkError(f"containerlab {arguments[0]}: {done.stderr}")

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


def run(nodes: int, count: int, seed: int) -> dict[str, object]:
    """All rounds; the result as it is stored. containerlab stands where a floor does: what ours is compared with."""
    order = random.Random(seed)  # noqa: S311 - the order of a benchmark is no secret
    started = datetime.now(UTC)
    ours, peer = Times(), Times()
    skies: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        file = Path(folder) / "containerlab" / "ring.clab.yml"
        file.parent.mkdir()
        file.write_text(ring(nodes))
        wanted = topology.load(file)
        images = build.ensure([describe.image_of(node) for node in wanted.nodes.values()])
        disk = ensure_disk(images, _KIND, Lines())
        native = make_host(_KIND, LabPlace("engines", Path(folder) / "native"), nodes=nodes)
        docker = make_host(_KIND, LabPlace("engines-containerlab", file.parent), IMAGE, disk, nodes)
        with _running(native) as agent, _running(docker) as daemon:
            daemon.call("node.states")  # the Docker daemon is up
            world = describe.world(wanted, "ring", native.slot, images, native.seen, {})
            (Path(folder) / "native" / "hosts").write_text("127.0.0.1 localhost\n")
            for number in range(-1, count):
                skies.append({"round": number, **conditions.weather()})
                one, other = (ours, peer) if number >= 0 else (Times(), Times())
                for engine in order.sample(["native", "containerlab"], 2):
                    if engine == "native":
                        measure_native(agent, world, one)
                    else:
                        measure_containerlab(docker, docker.seen(file), other)
                print(f"round {number + 1} of {count} done", file=sys.stderr, flush=True)
    skies.append({"round": "end", **conditions.weather()})
    compared = [
        # How many of ours fit into one of containerlab's.
        Comparison(
            f"{name} {nodes}", Series.of(theirs), Series.of(our),
            least_ratio=LEAST_RATIO, measured="containerlab", against="ours",
        )
        for name, theirs, our in (("up", peer.up, ours.up), ("down", peer.down, ours.down))
    ]  # fmt: skip
    return {
        "benchmark": "B1 engines: containerlab beside ours",
        "started": started.isoformat(timespec="seconds"),
        "seed": seed,
        "subject": conditions.subject(),
        "weather": skies,
        "comparisons": [comparison.as_json() for comparison in compared],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="labctl bench engines", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    result = run(asked.nodes, asked.rounds, asked.seed)
    record.save("engines", result)
    comparisons = result["comparisons"]
    assert isinstance(comparisons, list)
    for one in comparisons:
        verdict = f"VOID: {one['void']}" if one["void"] else "" if one["kept"] else "BOUND MISSED"
        theirs, our = one["ours"]["median"], one["floor"]["median"]
        print(f"{one['name']:<10} containerlab {theirs:6.2f} s  ours {our:6.2f} s  {one['ratio']:5.1f} x  {verdict}")
    return int(any(one["kept"] is False for one in comparisons))


if __name__ == "__main__":
    sys.exit(main())

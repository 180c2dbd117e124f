"""The floor of `up`: the same kernel objects in one batch of iproute2 each, and as many containers that only sleep.

Runs on a lab host: `python3 -m perf.peers.floor` reads the description of a world (see `harness.engine.describe`) on
standard input and prints the seconds of each part. Nothing that makes a lab what it is happens here: no software
starts, nothing is configured, and nobody waits until anything works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.agent import bundle
from harness.agent.places import DISK, LAB
from harness.agent.world import World

FLOOR = Path("/run/floor")
_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")


def batch(world: World) -> list[str]:
    """All namespaces and links, as lines for `ip -batch`."""
    lines = ["link add floor type bridge", "link set floor up"]
    for node in world["nodes"]:
        name, number = node["name"], node["number"]
        lines.append(f"netns add {name}")
        lines.append(f"link add f{number} type veth peer name eth0 netns {name}")
        lines.append(f"link set f{number} master floor up")
    for link in world["links"]:
        near, far = link["ends"]
        lines.append(
            f"link add {near['interface']} netns {near['node']} type veth"
            f" peer name {far['interface']} netns {far['node']}"
        )
    return lines


def batch_inside(world: World, node: dict[str, Any]) -> list[str]:
    """What is set inside of a node's namespace."""
    ends = [end["interface"] for link in world["links"] for end in link["ends"] if end["node"] == node["name"]]
    lines = [f"address add {node['management']} dev eth0"]
    return lines + [f"link set {name} up" for name in ("lo", "eth0", *ends)]


def _ip(lines: list[str], *options: str) -> None:
    subprocess.run(["ip", *options, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def make_links(world: World) -> None:
    _ip(batch(world))
    for node in world["nodes"]:
        _ip(batch_inside(world, node), "-netns", node["name"])


def spawn(node: dict[str, Any], cgroups: bool) -> None:
    """A container like the node's, whose only process sleeps."""
    folder, disk = FLOOR / node["name"], DISK / "floor" / node["name"]
    root = folder / "root"
    for path in (root, disk / "upper", disk / "work"):
        path.mkdir(parents=True)
    options = f"lowerdir={':'.join(node['layers'])},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    environment = {**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"}
    subprocess.run(["mount", "-t", "overlay", "-o", options, "floor", str(root)], check=True, env=environment)
    sleeping = {**node, "cmd": ["sleep", "infinity"], "binds": []}
    (folder / "config.json").write_text(json.dumps(bundle.config(sleeping, root, cgroups)))
    manager = "cgroupfs" if cgroups else "disabled"
    command = ["crun", "--cgroup-manager", manager, "run", "--detach", "--bundle", str(folder), node["name"]]
    with (folder / "log").open("wb") as log:  # the container inherits it, and would keep a pipe open
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def main() -> None:
    world: World = json.load(sys.stdin)
    (LAB / "hosts").touch()
    cgroups = _CONTROLLERS.exists() and {"cpu", "memory"} <= set(_CONTROLLERS.read_text().split())
    begun = time.monotonic()
    make_links(world)
    linked = time.monotonic()
    for node in world["nodes"]:
        spawn(node, cgroups)
    print(json.dumps({"links": linked - begun, "spawn": time.monotonic() - linked}))


if __name__ == "__main__":
    main()

"""The world of a lab whose nodes containerlab makes: its files, its binary, and the patch panel behind its links.

containerlab gives each node its half of every cable, with the other half on the lab host. There they are connected as
those of any other lab are (`harness.agent.links`), so that cables outlive the power of nodes, which containerlab's own
do not.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.agent import audit, containers, links, volumes
from harness.agent.commands import set_up
from harness.agent.exclusive import making
from harness.agent.places import CLOCKS, DISK, NETNS, NODES
from harness.agent.shell import ToolError
from harness.agent.world import World, each, make_management

# Containers live as long as the disk does; so must what containerlab knows of them.
FOLDER = DISK / ".containerlab"
_PROGRAM = "/opt/containerlab/bin/containerlab"
_SECONDS = 300
_READY = Path("/run/elasticlab/set-up")
_LOCK = Path("/run/elasticlab/containerlab.lock")


def settle() -> None:
    """Wait for a containerlab that was started by an agent who is no more: what it makes is not all there yet."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def build(world: World, deploy: dict[str, str], start: list[str]) -> None:
    """Have containerlab deploy topologies of its own format (name → text), give power to the nodes `start` that were
    made before, plug in all that have power, and set up those that are not yet.
    """
    with making():
        _build(world, deploy, start)


def _build(world: World, deploy: dict[str, str], start: list[str]) -> None:
    CLOCKS.mkdir(parents=True, exist_ok=True)
    for node in world["nodes"]:
        if node["disk"]:
            volumes.give(node)
    for name, topology in deploy.items():
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{name}.clab.yml"
        file.write_text(topology)
        _containerlab("deploy", "--topo", str(file), "--skip-labdir-acl")
    with ThreadPoolExecutor() as pool:
        list(pool.map(containers.power_on, start))
    powered = [node for node in world["nodes"] if containers.pid(node["name"])]
    make_management(world["management"]["bridge_address"])
    links.plug(world["links"])
    links.plug_management(powered)
    for node in powered:
        links.make_ordinary(node["name"])
    each(_set_up, powered)


def demolish(world: World) -> list[str]:
    """Undo `build`, also when it got only half way; returns what is left over, which should be nothing."""
    for file in sorted(FOLDER.glob("*.clab.yml")):
        _containerlab("destroy", "--topo", str(file), "--cleanup")
        file.unlink()
    containers.remove_all()
    links.remove(world["links"], (node["number"] for node in world["nodes"]))
    for node in world["nodes"]:
        (NETNS / node["name"]).unlink(missing_ok=True)
        volumes.take(node["name"])
        for folder in (NODES, DISK):
            shutil.rmtree(folder / node["name"], ignore_errors=True)
    return audit.leftovers() + [f"container {name}" for name in containers.states()]


def power_off(node: dict[str, Any], plugged: list[links.Link]) -> None:
    """Cut a node's power: processes gone, network state gone, links without carrier, its disk stays."""
    containers.power_off(node["name"])
    volumes.take(node["name"])
    links.unplug(plugged, node["name"])
    links.unplug_management([node["number"]])


def power_on(node: dict[str, Any], plugged: list[links.Link]) -> None:
    """Give it power again; links to nodes without power have no carrier until those get theirs."""
    if not containers.pid(node["name"]):
        if node["disk"]:
            volumes.give(node)
        containers.power_on(node["name"])
    links.plug(plugged)
    links.plug_management([node])
    _set_up(node)


def _set_up(node: dict[str, Any]) -> None:
    """Once for each start, and again if an agent was killed before it had done so."""
    done = _READY / f"{node['name']}.{containers.pid(node['name'])}"
    if not done.exists():
        if node["disk"]:
            volumes.wait_until_root(node["name"], containers.pid(node["name"]))
        set_up(node)
        done.parent.mkdir(exist_ok=True)
        done.touch()


def set_up_nodes() -> int:
    """How many nodes have power and are through their `exec`."""
    return len({entry.stem for entry in _READY.glob("*")})


def _containerlab(*arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "CLAB_VERSION_CHECK": "disable"}
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # It has the lock too, and keeps it when this agent is killed.
        done = subprocess.run(
            [_PROGRAM, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=FOLDER,
            env=environment, pass_fds=[lock.fileno()],
        )  # fmt: skip
    if done.returncode != 0:
        raise ToolError(f"containerlab {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")

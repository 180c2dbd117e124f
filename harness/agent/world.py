"""The whole world of a lab, made and unmade in one call each; every step is idempotent.

The engine describes it (see `harness.engine.native.describe`): nodes with their image layers, links, management.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from netlinkkit.requests import ask

from harness.agent import audit, links, namespaces, nodes, ports, rtnetlink
from harness.agent.commands import set_up
from harness.agent.exclusive import making
from harness.agent.places import DISK, MANAGEMENT_BRIDGE, NODES

World = dict[str, Any]
_PARALLEL = 4
_READY = "set-up"


def build(world: World, later: Collection[str] = (), dark: Collection[str] = ()) -> tuple[dict[str, float], list[str]]:
    """Namespaces, links, nodes, then the commands of the topology's `exec`. Returns seconds per phase, and the names
    of the nodes that got power.

    The nodes `later` are plugged in but get no power, until a build without them; those that are `dark` stay as
    `power_off` left them.
    """
    spent: dict[str, float] = {}
    wanted = [node for node in world["nodes"] if node["name"] not in dark]
    with making():
        with _timed(spent, "namespaces"):
            make_management(world["management"]["bridge_address"])
            namespaces.create(node["name"] for node in wanted)
        with _timed(spent, "links"):
            links.plug_management(wanted)
            links.plug(world["links"])
        with _timed(spent, "nodes"):
            running = nodes.states()
            start = [node for node in wanted if node["name"] not in {*running, *later}]
            each(_boot, start)
            each(_set_up, [node for node in wanted if node["name"] in running])
    return spent, [node["name"] for node in start]


def demolish(world: World) -> list[str]:
    """Undo `build`, also when it got only half way; returns what is left over, which should be nothing."""
    each(lambda node: nodes.halt(node["name"]), world["nodes"])
    links.remove(world["links"], (node["number"] for node in world["nodes"]))
    for node in world["nodes"]:
        namespaces.remove(node["name"])
        shutil.rmtree(DISK / node["name"], ignore_errors=True)
    return audit.leftovers()


def power_off(node: dict[str, Any], plugged: list[links.Link]) -> None:
    """Cut a node's power: processes gone, network state gone, links without carrier, its disk stays."""
    nodes.halt(node["name"])
    links.unplug(plugged, node["name"])
    links.unplug_management([node["number"]])
    namespaces.remove(node["name"])


def power_on(node: dict[str, Any], plugged: list[links.Link]) -> None:
    """Give it power again; links to nodes without power have no carrier until those get theirs."""
    if node["name"] in nodes.states():
        return
    namespaces.create([node["name"]])
    links.plug_management([node])
    links.plug(plugged)
    _boot(node)


def _boot(node: dict[str, Any]) -> None:
    (NODES / node["name"] / _READY).unlink(missing_ok=True)
    nodes.boot(node)
    _set_up(node)


def _set_up(node: dict[str, Any]) -> None:
    """Once for each start, and again if an agent was killed before it had done so."""
    done = NODES / node["name"] / _READY
    if not done.exists():
        set_up(node)
        done.touch()


def set_up_nodes() -> int:
    """How many nodes have power and are through their `exec`."""
    return len(list(NODES.glob(f"*/{_READY}")))


def make_management(address: str) -> None:
    """The management bridge. Its uplink to the user's machine is the lab host's affair."""
    if ports.interface_index(MANAGEMENT_BRIDGE) is None:
        ask([rtnetlink.bridge(MANAGEMENT_BRIDGE)])
    index = socket.if_nametoindex(MANAGEMENT_BRIDGE)
    about = f"bridge {MANAGEMENT_BRIDGE}"
    ask([rtnetlink.address(index, address, about), rtnetlink.change(index, about, up=True)])


def each(action: Callable[[dict[str, Any]], None], items: Iterable[dict[str, Any]]) -> None:
    """Do it to all, some at a time; the first error is raised after every one was tried."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        outcomes = [pool.submit(action, item) for item in items]
    for outcome in outcomes:
        outcome.result()


@contextlib.contextmanager
def _timed(spent: dict[str, float], phase: str) -> Any:
    start = time.monotonic()
    yield
    spent[phase] = round(time.monotonic() - start, 4)

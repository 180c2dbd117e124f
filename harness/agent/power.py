"""The power of a node, whatever nodes are on this lab host."""

from __future__ import annotations

from typing import Any

from harness.agent import deployed, world
from harness.agent.exclusive import making
from harness.agent.links import Link
from harness.agent.runtimes import is_docker


def off(node: dict[str, Any], plugged: list[Link]) -> None:
    """Cut it: processes gone, network state gone, links without carrier, its disk stays."""
    act = deployed.power_off if is_docker() else world.power_off
    with making():
        act(node, plugged)


def on(node: dict[str, Any], plugged: list[Link]) -> None:
    """Give it; links to nodes without power have no carrier until those get theirs."""
    act = deployed.power_on if is_docker() else world.power_on
    with making():
        act(node, plugged)


def set_up_nodes() -> int:
    """How many nodes are through what the topology has them do when they get power."""
    return deployed.set_up_nodes() if is_docker() else world.set_up_nodes()


def demolish(described: world.World) -> list[str]:
    """Take the whole world away; what is left over."""
    with making():
        return deployed.demolish(described) if is_docker() else world.demolish(described)

"""What engines read out of a world, and how they ask the agent for its nodes' states."""

from __future__ import annotations

from typing import Any

from harness.engine.base import EngineError, NodeState, World
from harness.host.channel import Agent


def states(agent: Agent, world: World) -> dict[str, NodeState]:
    known = agent.call("node.states")
    found = {node["name"]: known.get(node["name"], {}) for node in world["nodes"]}
    return {
        name: NodeState(running=state.get("status") == "running", pid=state.get("pid", 0))
        for name, state in found.items()
    }


def node_of(world: World, name: str) -> dict[str, Any]:
    for node in world["nodes"]:
        if node["name"] == name:
            found: dict[str, Any] = node
            return found
    known = ", ".join(node["name"] for node in world["nodes"])
    raise EngineError(f"this lab has no node {name!r}; it has {known}")


def links_of(world: World, node: str) -> list[dict[str, Any]]:
    return [link for link in world["links"] if any(end["node"] == node for end in link["ends"])]

"""What engines do alike: read a world, and have the agent switch its nodes."""

from __future__ import annotations

from typing import Any

from harness.engine.base import EngineError, NodeState, World
from harness.host.channel import Agent


class WorldEngine:
    """One lab's world on one agent, which knows what nodes are on its lab host."""

    def __init__(self, agent: Agent, world: World) -> None:
        self._agent = agent
        self._world = world

    def demolish_within(self, seconds: float) -> list[str]:
        left: list[str] = self._agent.call("demolish", seconds, world=self._world)
        return left

    def states(self) -> dict[str, NodeState]:
        known = self._agent.call("node.states")
        found = {node["name"]: known.get(node["name"], {}) for node in self._world["nodes"]}
        return {
            name: NodeState(running=state.get("status") in ("running", "paused"), pid=state.get("pid", 0))
            for name, state in found.items()
        }

    def power_off(self, node: str) -> None:
        plug = self.power_of(node)
        self._agent.call("node.power_off", node=plug["description"], plugged=plug["plugged"])

    def power_on(self, node: str) -> None:
        plug = self.power_of(node)
        self._agent.call("node.power_on", 120, node=plug["description"], plugged=plug["plugged"])

    def power_of(self, node: str) -> dict[str, Any]:
        return {"description": self._node(node), "plugged": self._links(node)}

    def _node(self, name: str) -> dict[str, Any]:
        for node in self._world["nodes"]:
            if node["name"] == name:
                found: dict[str, Any] = node
                return found
        known = ", ".join(node["name"] for node in self._world["nodes"])
        raise EngineError(f"this lab has no node {name!r}; it has {known}")

    def _links(self, node: str) -> list[dict[str, Any]]:
        return [link for link in self._world["links"] if any(end["node"] == node for end in link["ends"])]

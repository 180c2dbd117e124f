"""The embedded engine: crun containers and a patch panel, without Docker or Go. The work is done by the agent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from harness.engine.base import EngineError, NodeState, World
from harness.host.channel import Agent

_BUILD_SECONDS = 120


def exec_command(node: str, argv: list[str], *, terminal: bool = False) -> list[str]:
    """What runs `argv` in a node when started on the lab host, streams and exit status passed through."""
    return ["crun", "exec", *(["--tty"] if terminal else []), node, *argv]


class NativeEngine:
    """One lab's world on one agent."""

    name = "native"

    def __init__(self, agent: Agent, world: World) -> None:
        self._agent = agent
        self._world = world

    def build(self, later: Collection[str] = ()) -> dict[str, float]:
        spent: dict[str, float] = self._agent.call("build", _BUILD_SECONDS, world=self._world, later=list(later))
        return spent

    def demolish(self) -> list[str]:
        left: list[str] = self._agent.call("demolish", _BUILD_SECONDS, world=self._world)
        return left

    def states(self) -> dict[str, NodeState]:
        known = self._agent.call("node.states")
        return {
            node["name"]: NodeState(
                running=known.get(node["name"], {}).get("status") in ("running", "paused"),
                pid=known.get(node["name"], {}).get("pid", 0),
            )
            for node in self._world["nodes"]
        }

    def power_off(self, node: str) -> None:
        self._agent.call("node.power_off", node=self._node(node), plugged=self._links(node))

    def power_on(self, node: str) -> None:
        self._agent.call("node.power_on", node=self._node(node), plugged=self._links(node))

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

"""The embedded engine: crun containers and a patch panel, without Docker or Go. The work is done by the agent."""

from __future__ import annotations

from collections.abc import Collection

from harness.engine.base import NodeState, World
from harness.engine.worlds import links_of, node_of, states
from harness.host.channel import Agent

_BUILD_SECONDS = 120


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
        return states(self._agent, self._world)

    def power_off(self, node: str) -> None:
        self._agent.call("node.power_off", node=node_of(self._world, node), plugged=links_of(self._world, node))

    def power_on(self, node: str) -> None:
        self._agent.call("node.power_on", node=node_of(self._world, node), plugged=links_of(self._world, node))

"""The small interface behind which engines differ (native, containerlab)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

World = dict[str, Any]
"""A topology as the agent wants it (made by `harness.engine.describe`)."""


class EngineError(RuntimeError):
    """The engine cannot make what the topology asks for; says which node, and the remedy."""


@dataclass(frozen=True)
class NodeState:
    """`running` and process id on the lab host, or no power."""

    running: bool
    pid: int = 0


class Engine(Protocol):
    """Makes, changes and removes one lab's world. Every method is idempotent."""

    def build(self, later: Collection[str] = ()) -> dict[str, float]:
        """Nodes and links as declared, but no power yet for the nodes `later`; seconds per phase."""

    def demolish(self) -> list[str]:
        """Remove all of it; what is left over, which should be nothing."""

    def states(self) -> dict[str, NodeState]: ...

    def power_off(self, node: str) -> None:
        """Like pulling the plug: nothing is synced on the node's behalf."""

    def power_on(self, node: str) -> None: ...

    def power_of(self, node: str) -> dict[str, Any]:
        """What an agent must know to take a node's power and give it back (`harness.agent.effects`)."""

"""The embedded engine: crun containers and a patch panel, without Docker or Go. The work is done by the agent."""

from __future__ import annotations

from collections.abc import Collection

from harness.engine.worlds import WorldEngine

_BUILD_SECONDS = 120


class NativeEngine(WorldEngine):
    name = "native"

    def build(self, later: Collection[str] = ()) -> dict[str, float]:
        spent: dict[str, float] = self._agent.call("build", _BUILD_SECONDS, world=self._world, later=list(later))
        return spent

    def demolish(self) -> list[str]:
        return self.demolish_within(_BUILD_SECONDS)

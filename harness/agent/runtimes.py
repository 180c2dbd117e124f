"""What nodes are on this lab host: crun's containers, or Docker's where it has a Docker daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from harness.agent import containers, nodes

_DOCKER = Path("/etc/sv/dockerd")


class Runtime(Protocol):
    def states(self) -> dict[str, dict[str, Any]]:
        """Name → {"status", "pid"} of each node that is there; one that has power has the status `running`."""

    def pid(self, node: str) -> int:
        """Its first process as the lab host numbers it; 0 without power."""

    def command(self, node: str, env: dict[str, str], argv: list[str]) -> list[str]:
        """What runs `argv` in a node when started on the lab host."""


def runtime() -> Runtime:
    return cast(Runtime, containers if _DOCKER.is_dir() else nodes)


def states() -> dict[str, dict[str, Any]]:
    return runtime().states()

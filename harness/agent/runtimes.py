"""What nodes are on this lab host: crun's containers, or Docker's where it has a Docker daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from harness.agent import containers, nodes

_DOCKER = Path("/etc/sv/dockerd")


class Runtime(Protocol):
    def states(self) -> dict[str, dict[str, Any]]:
        """Name → {"status", "pid"} of each node that is there; one that has power is `running` or `paused`."""

    def pid(self, node: str) -> int:
        """Its first process as the lab host numbers it; 0 without power."""

    def cgroup(self, node: str) -> Path:
        """Its folder in the unified hierarchy; not there without power."""

    def pause(self, node: str) -> None:
        """Every process of the node stands still."""

    def resume(self, node: str) -> None: ...

    def command(self, node: str, env: dict[str, str], argv: list[str]) -> list[str]:
        """What runs `argv` in a node when started on the lab host."""


def is_docker() -> bool:
    return _DOCKER.is_dir()


def runtime() -> Runtime:
    return cast(Runtime, containers if is_docker() else nodes)


def is_paused(node: str) -> bool:
    """Whether it stands still: what enters it would stand still too."""
    try:
        return (runtime().cgroup(node) / "cgroup.freeze").read_text().strip() == "1"
    except FileNotFoundError:
        return False


def states() -> dict[str, dict[str, Any]]:
    return runtime().states()

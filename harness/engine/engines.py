"""The engines by name. Commands that only look at a lab need not import what makes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.agent.clocks import ENVIRONMENT
from harness.agent.places import CLOCKS
from harness.build import Image
from harness.build.progress import Progress
from harness.engine.base import Engine, World
from harness.host.channel import Agent
from harness.host.rootfs import HOST_IMAGE

NATIVE, CONTAINERLAB = "native", "containerlab"
ENGINES = (NATIVE, CONTAINERLAB)
# Its own root file system, and what the kernel must be able to do beyond what the topology asks for.
HOST_IMAGES = {NATIVE: HOST_IMAGE, CONTAINERLAB: "containerlab"}
REQUIRES: Mapping[str, frozenset[str]] = {
    NATIVE: frozenset(),
    CONTAINERLAB: frozenset({"cgroup2", "module-list", "nft-nat"}),
}

# On the lab host, for Docker keeps no environment that comes with a node's own clock. $0 is the node.
_CLOCK = " ".join(f"--env {key}={value}" for key, value in ENVIRONMENT.items())
_DOCKER_EXEC = f"""
[ -e "{CLOCKS}/$0" ] && clock="{_CLOCK}" || clock=
exec docker exec --interactive $TTY $clock "$0" "$@"
""".strip()


def make_engine(name: str, agent: Agent, world: World) -> Engine:
    if name == CONTAINERLAB:
        from harness.engine.containerlab import ContainerlabEngine  # noqa: PLC0415 (each engine brings libraries of its own)

        return ContainerlabEngine(agent, world)
    from harness.engine.native import NativeEngine  # noqa: PLC0415 (see above)

    return NativeEngine(agent, world)


def exec_command(name: str, node: str, argv: list[str], *, terminal: bool = False) -> list[str]:
    """What runs `argv` in a node when started on the lab host, streams and exit status passed through."""
    if name == CONTAINERLAB:
        tty = "--tty" if terminal else ""
        return ["env", f"TTY={tty}", "sh", "-c", _DOCKER_EXEC, node, *argv]
    return ["crun", "exec", *(["--tty"] if terminal else []), node, *argv]


def first_disk(name: str, images: Mapping[str, Image], host: str, progress: Progress) -> Path | None:
    """What the disk of a new lab starts as: with the images in it, where the engine has them there; None if empty."""
    if name == CONTAINERLAB:
        from harness.engine.disk import ensure_disk  # noqa: PLC0415 (only this engine needs it)

        return ensure_disk(images, host, progress)
    return None

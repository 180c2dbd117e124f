"""Nodes as Docker containers that containerlab has made: their power, and what runs in them.

Docker's daemon is asked through its SDK. Only commands go past it: runc enters a container in a third of the time that
`docker exec` takes.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import clocks
from harness.agent.places import CGROUPS, CLOCKS, NETNS
from harness.agent.shell import run
from harness.wait import wait_for

if TYPE_CHECKING:
    from docker import DockerClient

SOCKET = "/run/docker.sock"
_RUNC = ("runc", "--root", "/run/docker/runtime-runc/moby")
_SERVICE = "/run/service/dockerd"
_START_SECONDS = 30
_CONFLICT = 409
_connecting = threading.Lock()
_connected: list[DockerClient] = []


def client() -> DockerClient:
    """The connection to the daemon, which may still be starting."""
    with _connecting:
        if not _connected:
            import docker  # noqa: PLC0415 (half a second in a lab kernel, and most lab hosts have no Docker)
            from docker.errors import DockerException  # noqa: PLC0415 (see above)

            name = "the Docker daemon of the lab host to answer"
            address = f"unix://{SOCKET}"
            made = wait_for(
                name,
                lambda: docker.DockerClient(base_url=address, timeout=120, max_pool_size=64),
                _START_SECONDS,
                retry_on=(DockerException,),
            )
            _connected.append(made)
        return _connected[0]


def states() -> dict[str, dict[str, Any]]:
    """Name → {"status", "pid"} of each container, with power or without."""
    listed = client().api.containers(all=True)
    found = {entry["Names"][0].lstrip("/"): entry["State"] for entry in listed}
    return {name: {"status": status, "pid": pid(name)} for name, status in found.items()}


def pid(node: str) -> int:
    """Its first process as the lab host numbers it; 0 without power."""
    try:
        found = int(os.readlink(NETNS / node).split("/")[2])
    except OSError:
        return 0
    return found if Path(f"/proc/{found}").exists() else 0


def _identity(node: str) -> tuple[int, str]:
    """Its first process and Docker's name for it, which its cgroup tells at once. Raises LookupError."""
    first = pid(node)
    if not first:
        raise LookupError(f"node {node} has no power")
    groups = Path(f"/proc/{first}/cgroup").read_text()
    identity = re.search(r"/docker/([0-9a-f]{64})", groups)
    if identity is None:
        raise LookupError(f"node {node} is no container of Docker: {groups.strip()}")
    return first, identity[1]


def cgroup(node: str) -> Path:
    """Its folder in the unified hierarchy; not there without power."""
    try:
        return Path("/sys/fs/cgroup/docker", _identity(node)[1])
    except (LookupError, FileNotFoundError):
        return CGROUPS / node


def pause(node: str) -> None:
    client().api.pause(node)


def resume(node: str) -> None:
    client().api.unpause(node)


def command(node: str, env: dict[str, str], argv: list[str]) -> list[str]:
    """What runs `argv` in a node when started on the lab host."""
    if (CLOCKS / node).exists():
        env = {**clocks.ENVIRONMENT, **env}
    options = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
    return [*_RUNC, "exec", *options, _identity(node)[1], *argv]


def power_on(name: str) -> None:
    """Start its first process, which waits for its cables (see `harness.engine.start`), and name its namespace.

    containerlab does the latter the same way when it deploys.
    """
    client().api.start(name)
    first = client().api.inspect_container(name)["State"]["Pid"]
    fresh = NETNS / f".{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(f"/proc/{first}/ns/net")
    fresh.rename(NETNS / name)


def power_off(name: str) -> None:
    """Cut the power: every process of the node dies at once, nothing is synced on its behalf."""
    from docker.errors import APIError, NotFound  # noqa: PLC0415 (see `client`)

    with contextlib.suppress(NotFound):
        try:
            client().api.kill(name)
        except APIError as error:
            if error.status_code != _CONFLICT:  # else it has no power
                raise
        client().api.wait(name)
    (NETNS / name).unlink(missing_ok=True)


def remove_all() -> None:
    for name in states():
        client().api.remove_container(name, force=True)


def load(file: str) -> None:
    """Load an archive of images, and forget those whose names they take over."""
    run("docker", "load", "--quiet", "--input", file, timeout=600)
    client().images.prune({"dangling": True})


def leave_disk() -> None:
    """End the daemon and let go of the disk, whole and with as few blocks as it needs."""
    client()
    run("sv", "-w", "60", "force-stop", _SERVICE, timeout=90)
    run("fstrim", "/disk", timeout=120)
    run("umount", "/disk", timeout=120)

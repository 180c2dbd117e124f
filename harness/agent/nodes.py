"""Nodes as crun containers: overlay over the image's layers, on the lab's own disk or one of the node's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from harness.agent import bundle, clocks, syscalls, volumes
from harness.agent.exclusive import making
from harness.agent.places import CGROUPS, CRUN_STATE, DISK, NETNS, NODES
from harness.agent.shell import ToolError, run

Node = dict[str, Any]
_PID = "pid"
_CGROUP2_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")


def cgroups() -> bool:
    """Whether limits can be enforced: only where this lab host's unified hierarchy (cgroup v2) has the controllers."""
    return {"cpu", "memory"} <= set(_CGROUP2_CONTROLLERS.read_text().split())


def crun(*arguments: str, timeout: float | None = 30, handles: Collection[int] = ()) -> str:
    manager = "cgroupfs" if cgroups() else "disabled"
    return run("crun", "--cgroup-manager", manager, *arguments, timeout=timeout, handles=handles)


def states() -> dict[str, dict[str, Any]]:
    """Name → {"status", "pid"} of each node that has power."""
    folders = NODES.iterdir() if NODES.is_dir() else ()
    found = {folder.name: pid(folder.name) for folder in folders}
    return {name: {"status": "running", "pid": first} for name, first in found.items() if first}


def pid(node: str) -> int:
    """Its first process as the lab host numbers it; 0 without power.

    crun is not asked: it would look at all nodes, and take longer the more there are. What a killed crun left half made
    has no process; a number that is another's by now is in another network namespace.
    """
    try:
        found = int((NODES / node / _PID).read_text())
        return found if Path(f"/proc/{found}/ns/net").samefile(NETNS / node) else 0
    except (OSError, ValueError):
        return 0


def boot(node: Node) -> None:
    """Mount the node's file systems and start its first process. Its network namespace is there already."""
    folder = NODES / node["name"]
    if (CRUN_STATE / node["name"]).exists():
        halt(node["name"])
    root = _mount_root(node, folder)
    (folder / "config.json").write_text(json.dumps(bundle.config(clocks.dressed(node), root, cgroups())))
    console = DISK / node["name"] / "console.log"
    with console.open("ab") as log:
        # crun hands its own output to the container, so the log is inherited and not piped.
        done = subprocess.run(
            ["crun", "--cgroup-manager", "cgroupfs" if cgroups() else "disabled", "--log", str(folder / "crun.log"),
             "run", "--detach", "--bundle", str(folder), "--pid-file", str(folder / _PID), node["name"]],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60, check=False, pass_fds=making.handles,
        )  # fmt: skip
    if done.returncode != 0:
        raise ToolError(f"crun could not start {node['name']}: {(folder / 'crun.log').read_text().strip()}")


def _mount_root(node: Node, folder: Path) -> Path:
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    layer = DISK / node["name"]
    if node.get("disk"):
        layer = volumes.give(node)
    if not os.path.ismount(root):
        for part in ("upper", "work"):
            (layer / part).mkdir(parents=True, exist_ok=True)
        lower = ":".join(node["layers"])
        options = f"lowerdir={lower},upperdir={layer / 'upper'},workdir={layer / 'work'}"
        syscalls.mount("overlay", f"node-{node['name']}", root, options)
    return root


def halt(name: str) -> None:
    """Cut the power: every process of the node dies at once, nothing is synced on its behalf."""
    try:
        crun("delete", "--force", name, handles=making.handles)
    except ToolError as error:
        if "does not exist" not in str(error):
            raise
    root = NODES / name / "root"
    if os.path.ismount(root):
        syscalls.unmount(root)
    volumes.take(name)
    shutil.rmtree(NODES / name, ignore_errors=True)


def cgroup(node: str) -> Path:
    return CGROUPS / node


def pause(node: str) -> None:
    crun("pause", node)


def resume(node: str) -> None:
    crun("resume", node)


def command(node: str, env: dict[str, str], argv: list[str]) -> list[str]:
    """What runs `argv` in a node when started on the lab host."""
    options = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
    return ["crun", "exec", *options, node, *argv]

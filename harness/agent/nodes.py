"""Nodes as crun containers: overlay over the image's layers, on the lab's own disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from harness.agent import bundle, clocks
from harness.agent.places import CGROUPS, DISK, NODES
from harness.agent.shell import ToolError, run

Node = dict[str, Any]
_CGROUP2_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")


def cgroups() -> bool:
    """Whether limits can be enforced: only where this lab host's unified hierarchy (cgroup v2) has the controllers."""
    return {"cpu", "memory"} <= set(_CGROUP2_CONTROLLERS.read_text().split())


def crun(*arguments: str, timeout: float | None = 30) -> str:
    manager = "cgroupfs" if cgroups() else "disabled"
    return run("crun", "--cgroup-manager", manager, *arguments, timeout=timeout)


def states() -> dict[str, dict[str, Any]]:
    """What crun knows: name → {"status", "pid"}. A node without power is not in it."""
    listed = json.loads(crun("list", "--format", "json") or "[]") or []
    return {entry["id"]: {"status": entry["status"], "pid": entry["pid"]} for entry in listed}


def boot(node: Node) -> None:
    """Mount the node's file systems and start its first process. Its network namespace is there already."""
    folder = NODES / node["name"]
    root = _mount_root(node, folder)
    (folder / "config.json").write_text(json.dumps(bundle.config(clocks.dressed(node), root, cgroups())))
    console = DISK / node["name"] / "console.log"
    with console.open("ab") as log:
        # crun hands its own output to the container, so the log is inherited and not piped.
        done = subprocess.run(
            ["crun", "--cgroup-manager", "cgroupfs" if cgroups() else "disabled", "--log", str(folder / "crun.log"),
             "run", "--detach", "--bundle", str(folder), node["name"]],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise ToolError(f"crun could not start {node['name']}: {(folder / 'crun.log').read_text().strip()}")


def _mount_root(node: Node, folder: Path) -> Path:
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(root):
        layer = DISK / node["name"]
        for part in ("upper", "work"):
            (layer / part).mkdir(parents=True, exist_ok=True)
        lower = ":".join(node["layers"])
        options = f"lowerdir={lower},upperdir={layer / 'upper'},workdir={layer / 'work'}"
        run("mount", "-t", "overlay", "-o", options, f"node-{node['name']}", str(root))
    return root


def halt(name: str) -> None:
    """Cut the power: every process of the node dies at once, nothing is synced on its behalf."""
    try:
        crun("delete", "--force", name)
    except ToolError as error:
        if "does not exist" not in str(error):
            raise
    root = NODES / name / "root"
    if os.path.ismount(root):
        run("umount", str(root))
    shutil.rmtree(NODES / name, ignore_errors=True)


def paused(node: str) -> bool:
    """Whether it stands still: what enters it would stand still too."""
    try:
        return (CGROUPS / node / "cgroup.freeze").read_text().strip() == "1"
    except FileNotFoundError:
        return False


def run_command(node: str, argv: list[str], stdin: str | None, timeout: float, env: dict[str, str]) -> dict[str, Any]:
    """Run a program in a node; its output is text, undecodable bytes replaced.

    Raises:
        LookupError: the node stands still.
        TimeoutError: it did not end within `timeout` seconds (it was killed).
    """
    if paused(node):
        raise LookupError(f"node {node} is paused, and nothing can be run in it")
    options = [part for key, value in env.items() for part in ("--env", f"{key}={value}")]
    command = ["crun", "exec", *options, node, *argv]
    try:
        done = subprocess.run(
            command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{node}: {' '.join(argv)}: no end within {timeout:g} s") from error
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

"""Running programs in nodes, whatever nodes are on this lab host."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

from harness.agent.runtimes import is_paused, runtime
from harness.agent.shell import ToolError


def run_command(node: str, argv: list[str], stdin: str | None, timeout: float, env: dict[str, str]) -> dict[str, Any]:
    """Run a program in a node; its output is text, undecodable bytes replaced.

    Raises:
        LookupError: the node stands still, or has no power.
        TimeoutError: it did not end within `timeout` seconds (it was killed).
    """
    if is_paused(node):
        raise LookupError(f"node {node} is paused, and nothing can be run in it")
    try:
        done = subprocess.run(
            runtime().command(node, env, argv), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{node}: {' '.join(argv)}: no end within {timeout:g} s") from error
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def set_up(node: dict[str, Any]) -> None:
    """Run the commands of the topology's `exec`, as at every start of a node."""
    if node["exec"]:
        done = run_command(node["name"], ["/bin/sh", "-c", _script(node["exec"])], None, 60, {})
        if done["status"] != 0:
            raise ToolError(f"node {node['name']}: exec {(done['stderr'] or done['stdout']).strip()}")


def _script(lines: list[str]) -> str:
    """The topology's `exec` lines as one program, because entering a node costs more than most of them do.

    They are argument lists: quoted anew, so that no shell ever interprets them.
    """
    steps = []
    for line in lines:
        failed = shlex.quote(f"{line!r}: exit status ")
        steps.append(f'{shlex.join(shlex.split(line))} || {{ status=$?; echo {failed}"$status" >&2; exit 1; }}')
    return "\n".join(steps)

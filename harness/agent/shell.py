"""Running a tool on the lab host, with an error that says what it said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection

# mount(8) hands options one by one to newer kernels, which take 256 bytes each: too little for a pile of layers.
_ENV = {"LIBMOUNT_FORCE_MOUNT2": "always"}


class ToolError(RuntimeError):
    """A tool failed: its command, exit status and standard error."""


def run(
    *argv: str,
    stdin: str | None = None,
    timeout: float | None = 30,
    env: dict[str, str] | None = None,
    handles: Collection[int] = (),
) -> str:
    """Standard output of a tool that must succeed; `handles` are the open files that it inherits."""
    environment = {**os.environ, **_ENV, **(env or {})}
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=environment,
            pass_fds=handles,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{' '.join(argv)}: no end within {timeout} s") from error
    if done.returncode != 0:
        raise ToolError(f"{' '.join(argv)}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout

"""The weather of a run: what else the machine did, and what exactly was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from harness.paths import REPOSITORY


def pressure(resource: str) -> float | None:
    """Share of the last ten seconds in which somebody waited for a resource (PSI), in percent; None without PSI."""
    try:
        line = Path("/proc/pressure", resource).read_text().splitlines()[0]
    except OSError:
        return None
    return float(line.split("avg10=")[1].split()[0])


def stolen() -> int:
    """Ticks since boot in which a hypervisor gave this machine's processors to others."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])


def weather() -> dict[str, object]:
    """Load, pressure and steal now."""
    return {
        "load": [round(value, 2) for value in os.getloadavg()],
        "pressure": {resource: pressure(resource) for resource in ("cpu", "io", "memory")},
        "steal_ticks": stolen(),
    }


def subject() -> dict[str, object]:
    """What was measured, and on what."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed": [line for line in _git("status", "--porcelain", "--untracked-files=no").splitlines() if line],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "packages": {name: metadata.version(name) for name in ("execnet", "pyroute2-minimal", "asyncssh")},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.rstrip() if done.returncode == 0 else "unknown"

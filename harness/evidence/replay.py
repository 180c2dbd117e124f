"""How a test is run again as it was, and on what it ran."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import subprocess
from pathlib import Path

from harness.engine.engines import NATIVE
from harness.lab import Lab
from harness.paths import REPOSITORY

_SCALE = "ELASTICLAB_TIME_SCALE"


def command(lab: Lab, test: str, seed: int | None = None) -> str:
    """The command line, from the repository's folder."""
    scale = [f"{_SCALE}={os.environ[_SCALE]}"] if _SCALE in os.environ else []
    made = [f"--lab-engine={lab.record.engine}"] if lab.record.engine != NATIVE else []
    argv = [".venv/bin/python", "-m", "pytest", f"--lab-host={lab.record.host}", *made, *_drawn(seed), test]
    return shlex.join([*scale, *argv])


def _drawn(seed: int | None) -> list[str]:
    return [] if seed is None else [f"--lab-seed={seed}"]


def told(lab: Lab, test: str, seed: int | None = None) -> str:
    """The command, and what else may have mattered: version, lab host, kernel, load."""
    facts = {
        "again": command(lab, test, seed),
        "on the lab as it is": shlex.join(
            [".venv/bin/python", "-m", "pytest", f"--lab={lab.name}", *_drawn(seed), test]
        ),
        "version": _version(),
        "topology": lab.topology.name,
        "engine": lab.record.engine,
        "lab host": f"{lab.record.host} ({lab.record.reason})",
        "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "pressure": _pressure(),
    }
    return "".join(f"{name + ':':<22}{value}\n" for name, value in facts.items() if value)


@functools.cache
def _version() -> str:
    """The commit, and whether something was changed since: as it was when the run asked first."""
    argv = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _pressure() -> str:
    """How much work waited for a processor (PSI), where the kernel says so."""
    file = Path("/proc/pressure/cpu")
    return file.read_text().splitlines()[0] if file.exists() else ""

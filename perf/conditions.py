"""The weather of a run: what else the machine did, and what exactly was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from harness.build.images import Builder
from harness.build.kernel import kernel_digest
from harness.paths import REPOSITORY

PACKAGES = ("allure-pytest", "asyncssh", "execnet", "jumpavg", "locust", "MLRsearch", "pyroute2-minimal", "pytest")
PROGRAMS = {"element": ("strongswan-charon", "nftables", "iproute2"), "endpoint": ("iperf3",)}
"""Of Debian's, in the nodes' images."""
_INSTALLED = re.compile(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", re.MULTILINE)


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
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        **_inside(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _inside() -> dict[str, object]:
    """The lab kernel and the nodes' programs, as far as they have been built."""
    builder = Builder()
    kernel = builder.store.lookup(kernel_digest(builder))
    programs: dict[str, str] = {}
    for image, pile in builder.plan(list(PROGRAMS)).images.items():
        statuses = (builder.store.root / f"layers/{layer.digest}/root/var/lib/dpkg/status" for layer in pile)
        newest = next((status for status in statuses if status.is_file()), None)
        known = dict(_INSTALLED.findall(newest.read_text(encoding="utf-8"))) if newest else {}
        programs |= {name: known[name] for name in PROGRAMS.get(image, ()) if name in known}
    return {
        **({"lab_kernel": (kernel / "release").read_text(encoding="utf-8").strip()} if kernel else {}),
        "programs": programs,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.rstrip() if done.returncode == 0 else "unknown"

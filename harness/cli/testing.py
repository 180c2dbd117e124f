"""`labctl test`: everything that proves this repository, in one command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness import build
from harness.cli.reporter import reporter
from harness.paths import REPOSITORY, SOURCES

PARTS = ("lint", "types", "unit", "lab")
RESULTS = REPOSITORY / "allure-results"
# Most of them wait for something: with a worker for each processor, a third of all processor time was nobody's.
JOBS = min(len(os.sched_getaffinity(0)) + 1, 8)

# What runs in nodes is typed and tested where nodes run it: the C libraries it needs exist only there.
_NODE_PACKAGES = ("netlinkkit", "yangkit", "stackkit", "element", "identity", "manager", "controller", "gro", "portal")
_IN_NODES = tuple(
    f"tests/unit/{package}" for package in _NODE_PACKAGES if (REPOSITORY / "tests/unit" / package).is_dir()
)
_TOOLS = "tools"
_NOTHING_SELECTED = 5
_OF_A_RUN = "????????-????-????-????-????????????-*"
"""What Allure has written of an earlier one."""


@dataclass(frozen=True)
class Run:
    """What `labctl test` was asked: the lab to reuse, how many tests at once, the arguments for pytest, the engine that
    makes labs, and where Allure's results go.
    """

    reuse: str | None
    jobs: int
    arguments: Sequence[str]
    engine: str | None = None
    results: Path = RESULTS

    def at_once(self, distribution: str) -> list[str]:
        """Arguments for pytest-xdist; none when tests run one by one."""
        return [] if self.jobs == 1 else [f"-n{self.jobs}", f"--dist={distribution}"]


def _tool(*argv: str) -> int:
    """A Python tool of this environment, in the repository."""
    paths = os.pathsep.join(str(REPOSITORY / place) for place in SOURCES)
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-m", *argv]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def _in_tools(*argv: str) -> int:
    """The same in the nodes' Debian with the nodes' Python."""
    with reporter() as progress:
        # The repository is read-only there.
        environment = {"HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"}
        return build.run_in_image(_TOOLS, ["python3", "-m", *argv], env=environment, progress=progress)


def _lint(_: Run) -> int:
    return _tool("ruff", "check", ".") or _tool("ruff", "format", "--check", ".") or _tool("harness.cli.imports")


def _types(_: Run) -> int:
    packages = [part for package in _NODE_PACKAGES for part in ("-p", package)]
    with ThreadPoolExecutor(1) as pool:  # each keeps one processor busy, and says nothing before its end
        host = pool.submit(_tool, "mypy")
        nodes = _in_tools("mypy", "--cache-dir=/tmp/mypy", "--python-version=3.13", *packages)
        return host.result() or nodes


def _unit(run: Run) -> int:
    elsewhere = [f"--ignore={folder}" for folder in _IN_NODES]
    # The order is that of tests/conftest.py: the plugin's goes by numbers, and one test may be longer than a hundred.
    at_once = [*run.at_once("loadfile"), "--no-loadscope-reorder"]
    here = _tool("pytest", "tests/unit", *elsewhere, *at_once, *run.arguments)
    nodes = _in_tools("pytest", *_IN_NODES, "-p", "no:cacheprovider", *at_once, *run.arguments)
    # A selection may be for one of the two; that both are empty is a mistake.
    if _NOTHING_SELECTED in (here, nodes) and run.arguments:
        return min(here, nodes)
    return here or nodes


def _prepare() -> None:
    """Everything that is built, at once: the first time the kernel compiles while the images are installed."""
    names = sorted(recipe.parent.name for recipe in (REPOSITORY / "images").glob("*/image.toml"))
    with reporter() as progress:
        build.ensure_lab(names, progress)


def _lab(run: Run) -> int:
    where = ["--lab", run.reuse] if run.reuse else run.at_once("loadgroup")
    where += ["--lab-engine", run.engine] if run.engine else []
    folders = [
        folder
        for folder in ("tests/lab", "tests/system", "tests/scenarios", "tests/conformance")
        if (REPOSITORY / folder).is_dir()
    ]
    for file in run.results.glob(_OF_A_RUN):  # here, for each worker of pytest would do it for itself
        file.unlink()
    return _tool("pytest", *folders, f"--alluredir={run.results}", *where, *run.arguments)


_STEPS: dict[str, Callable[[Run], int]] = {"lint": _lint, "types": _types, "unit": _unit, "lab": _lab}


def run(console: Console, parts: Sequence[str], wanted: Run) -> int:
    """Run the parts in their order, all of them also when one fails; 0 if every one passed."""
    if "lab" in parts:
        _prepare()
    outcome: dict[str, tuple[int, float]] = {}
    for part in PARTS:
        if part in parts:
            console.rule(part)
            begun = time.monotonic()
            outcome[part] = (_STEPS[part](wanted), time.monotonic() - begun)
    console.rule("outcome")
    for part, (status, seconds) in outcome.items():
        console.print(f"{part:<6} {'passed' if status == 0 else 'FAILED':<7} {seconds:6.1f} s")
    return max((1 if status else 0 for status, _ in outcome.values()), default=0)

"""`labctl bench`: run what measures this repository, and show what was measured.

Benchmarks are programs in `perf/` whose docstring begins with what they are (B and a number). They are started as
programs of their own: they measure the harness, which knows nothing of them.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.options import console, print_json
from harness.cli.output import BenchmarkOut
from harness.paths import REPOSITORY

_BENCHMARK = re.compile(r"B\d+")


def benchmarks() -> dict[str, str]:
    """What can be measured, and what that is."""
    folder = REPOSITORY / "perf"
    modules = {file.stem: file for file in folder.glob("*.py")}
    packages = {file.parent.name: file for file in folder.glob("*/__main__.py")}
    first = {name: _first_line(file) for name, file in sorted((modules | packages).items())}
    return {name: line for name, line in first.items() if _BENCHMARK.match(line)}


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n", 1)[0]


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--report", is_flag=True, help="Render all results as one page.")
@click.option(
    "--output", default="bench-report.html", show_default=True, help="The page's file.",
    type=click.Path(dir_okay=False, path_type=Path),
)  # fmt: skip
@click.option("--against", metavar="REV", help="Take turns with the code of this commit, and fail if ours is slower.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print what there is as JSON; what was measured is a file anyway."
)
def bench(
    name: str | None, arguments: tuple[str, ...], report: bool, output: Path, against: str | None, as_json: bool
) -> int:
    """Measure something, beside its floor or its peer in the same run; without NAME say what there is.

    ARGUMENTS go to the benchmark; after `--` also --help. A result is a file in perf/results/. Exit status: 0 measured,
    1 it failed, or a bound is missed, or with --against there is a regression; 6 that comparison is void.

    \b
    labctl bench
    labctl bench tunnels --rounds 5
    labctl bench tunnels -- --help
    labctl bench --against HEAD~1 lab --topology plain
    labctl bench --report --output figures.html
    """
    known = benchmarks()
    if as_json and (name or report):
        raise click.UsageError("--json is for what there is; a result is a file in perf/results/, as JSON")
    if report:
        if name or against:
            raise click.UsageError("--report shows what was measured; to measure, leave it out")
        return _python("perf.report", ["--output", str(output.absolute())])
    if as_json:
        print_json([BenchmarkOut(name=one, about=about) for one, about in known.items()])
        return 0
    if name is None:
        for one, about in known.items():
            console.print(f"{one:<10} {about}")
        return 0
    if name not in known:
        raise click.UsageError(f"there is no benchmark {name!r}; there are {', '.join(known)}")
    if against:
        return _python("perf.against", [against, name, *arguments])
    return _python(f"perf.{name}", arguments)


def _python(module: str, arguments: Sequence[str]) -> int:
    """A module of the repository as a program, in our own environment."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment) as program:
        while True:
            # It was interrupted, too, and takes its lab down first.
            with contextlib.suppress(KeyboardInterrupt):
                return program.wait()

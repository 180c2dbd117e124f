"""`labctl report`: the results of tests as Allure's pages, with what became of the same tests in earlier runs."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from harness import build
from harness.cli.options import JSON, console, print_json
from harness.cli.output import FlakeOut, ReportOut
from harness.cli.reporter import reporter
from harness.evidence import history
from harness.evidence.history import Figure
from harness.paths import state_dir

_IMAGE = "report"
_SHOWN = 20
_STANDARD_ERROR = 2


@click.command()
@click.argument(
    "results",
    default="allure-results",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
)
@click.option(
    "--output", default="allure-report", show_default=True, help="Folder of the pages.",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
)  # fmt: skip
@click.option(
    "--history", "file", type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    help="File of earlier runs, to which this one is added. Default: history.jsonl in the folder of labs.",
)  # fmt: skip
@click.option("--keep", type=click.IntRange(1), default=50, show_default=True, help="Runs that the history holds.")
@JSON
def report(results: Path, output: Path, file: Path | None, keep: int, as_json: bool) -> int:
    """Render the results of the last tests as an Allure report.

    It shows how each test ended in the runs before. Tests that failed in one of them are told with how often they ran,
    failed and flipped (ended in another way than the time before): here, and as `flakes.html` among the report's global
    attachments. Results that are rendered again count once.

    \b
    labctl report
    labctl report ./results --output ./report
    labctl report --history ci-history.jsonl --json
    """
    if output.exists() and any(output.iterdir()) and not (output / "summary.json").exists():
        raise click.UsageError(f"{output} is no report, and would be replaced; name another folder with --output")
    file = file or state_dir() / "history.jsonl"
    now = history.of_results(results)
    if not now:
        raise click.UsageError(f"{results} has no results of tests; `labctl test` or pytest --alluredir writes them")
    earlier = [(line, history.of_line(file, line)) for line in history.lines(file)]
    kept = history.before(earlier, now, keep)
    found = history.figures([one for _, one in kept], now)
    status = _render(results, output, file, [line for line, _ in kept], keep, found)
    if status == 0:
        _tell(output, file, found, as_json)
    return status


def _render(results: Path, output: Path, file: Path, kept: list[str], keep: int, found: list[Figure]) -> int:
    """Beside the folder where it goes: Allure does not replace a report that is there, but adds to it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=output.parent) as made:
        work = Path(made)
        earlier, flakes, configuration = work / "history.jsonl", work / "flakes.html", work / "allurerc.json"
        earlier.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        flakes.write_text(history.page(found), encoding="utf-8")
        wanted = {"historyPath": str(earlier), "historyLimit": keep, "globalAttachments": [str(flakes)]}
        configuration.write_text(json.dumps(wanted))
        argv = ["allure", "generate", str(results), "--config", str(configuration), "--output", str(work / "report")]
        binds = (build.Bind(results, str(results)), build.Bind(work, str(work), writable=True))
        with reporter() as progress:
            # Standard output is for what we say, which may be JSON.
            status = build.run_in_image(_IMAGE, argv, binds=binds, progress=progress, stdout=_STANDARD_ERROR)
        if status == 0:
            shutil.rmtree(output, ignore_errors=True)
            (work / "report").rename(output)
            runs = history.lines(earlier)
            fresh = file.with_name(f"{file.name}.new")
            slim = [*runs[:-1], *map(history.slim, runs[-1:])]
            fresh.write_text("".join(f"{line}\n" for line in slim), encoding="utf-8")
            os.replace(fresh, file)
    return status


def _tell(output: Path, file: Path, found: list[Figure], as_json: bool) -> None:
    if as_json:
        return print_json(_out(output, file, found))
    flaky = [figure for figure in found if figure.failed]
    if flaky:
        _show(console, flaky)
    console.print(f"report in {output}/index.html, history in {file}", soft_wrap=True)
    return None


def _out(output: Path, file: Path, found: list[Figure]) -> ReportOut:
    tests: list[FlakeOut] = [
        {"test": one.test, "runs": one.runs, "failed": one.failed, "flips": one.flips, "last": one.last}
        for one in found
    ]
    return {"report": str(output), "history": str(file), "tests": tests}


def _show(console: Console, flaky: list[Figure]) -> None:
    shown = Table("test", "runs", "failed", "flips", "now", box=None, pad_edge=False, header_style="bold")
    for one in flaky[:_SHOWN]:
        shown.add_row(one.test, str(one.runs), str(one.failed), str(one.flips), one.last)
    console.print(shown)
    if len(flaky) > _SHOWN:
        console.print(f"and {len(flaky) - _SHOWN} more, in flakes.html among the report's global attachments")

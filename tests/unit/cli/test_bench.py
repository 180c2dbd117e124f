"""`labctl bench`: what there is to measure is found, not listed."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from harness.cli.benching import benchmarks
from harness.cli.commands import labctl


def test_every_benchmark_is_found_by_what_it_says_of_itself() -> None:
    found = benchmarks()
    assert {"engines", "harness", "lab", "sites", "tunnels"} <= found.keys()
    assert not {"conditions", "plots", "record", "report", "statistics", "__init__"} & found.keys()
    shown = CliRunner().invoke(labctl, ["bench"]).output
    assert all(f"{name} " in shown for name in found)


def test_a_benchmark_that_is_not_there_is_refused_with_those_that_are() -> None:
    refused = CliRunner().invoke(labctl, ["bench", "nothing"])
    assert refused.exit_code == 2
    assert "there is no benchmark 'nothing'" in refused.output
    assert "tunnels" in refused.output


def test_a_report_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(labctl, ["bench", "--report", "--output", str(page)], standalone_mode=False)
    assert done.return_value == 0
    assert page.read_text().startswith("<!doctype html>")
    assert CliRunner().invoke(labctl, ["bench", "lab", "--report"]).exit_code == 2

"""`labctl bench`: what there is to measure is found, not listed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from harness.cli.benching import benchmarks
from harness.cli.commands import labctl
from harness.paths import REPOSITORY

SLOW = """
import time
from pathlib import Path
try:
    print("there", flush=True)
    time.sleep(60)
finally:
    time.sleep(1)
    Path("down").touch()
"""


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


def test_an_interrupted_benchmark_has_the_time_to_take_its_lab_down(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start += "from harness.cli.benching import _python; _python('slow', [])"
    with subprocess.Popen(
        [sys.executable, "-c", start], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, start_new_session=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stdout.readline() == b"there\n"
        os.killpg(command.pid, signal.SIGINT)
        command.wait(30)
    assert (tmp_path / "down").exists()

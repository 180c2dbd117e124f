"""`labctl report`, by the real Allure: earlier runs are kept, shown, and counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness.cli.output import ReportOut
from harness.paths import REPOSITORY

LABCTL = [sys.executable, "-P", "-m", "harness.cli"]


def result(folder: Path, start: int, status: str) -> None:
    """What a run leaves: one test, of which Allure knows that it is always the same."""
    folder.mkdir()
    test = {
        "uuid": f"u{start}",
        "name": "test_x",
        "fullName": "tests.test_a#test_x",
        "historyId": "h",
        "testCaseId": "c",
    }
    content = {**test, "status": status, "start": start, "stop": start + 5, "labels": []}
    (folder / f"{start}-result.json").write_text(json.dumps(content))


def render(folder: Path, results: str) -> ReportOut:
    options = ["--output", str(folder / "report"), "--history", str(folder / "kept/history.jsonl"), "--json"]
    done = subprocess.run(
        [*LABCTL, "report", str(folder / results), *options],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: ReportOut = json.loads(done.stdout[done.stdout.index("{\n") :])
    return told


def test_a_report_has_what_became_of_its_tests_before(tmp_path: Path) -> None:
    result(tmp_path / "one", 1_000, "passed")
    result(tmp_path / "two", 2_000, "failed")
    assert render(tmp_path, "one")["tests"] == [
        {"test": "tests.test_a::test_x", "runs": 1, "failed": 0, "flips": 0, "last": "passed"}
    ]
    flaky = {"test": "tests.test_a::test_x", "runs": 2, "failed": 1, "flips": 1, "last": "failed"}
    for _ in range(2):  # the second time it is the same run, which counts once
        told = render(tmp_path, "two")
        assert told["tests"] == [flaky]
    kept = [json.loads(line)["testResults"] for line in Path(told["history"]).read_text().splitlines()]
    assert [[one["status"] for one in run.values()] for run in kept] == [["passed"], ["failed"]]
    report = Path(told["report"])
    [test] = [json.loads(file.read_text()) for file in report.glob("**/test-results/*.json")]
    assert (test["status"], [before["status"] for before in test["history"]]) == ("failed", ["passed"])
    pages = [file.read_text() for file in report.glob("**/attachments/*.html")]
    assert any("<td>tests.test_a::test_x</td><td>2</td><td>1</td><td>1</td>" in page for page in pages)


def test_a_folder_that_is_no_report_is_not_replaced(tmp_path: Path) -> None:
    result(tmp_path / "one", 1_000, "passed")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/thesis.txt").write_text("mine")
    done = subprocess.run(
        [*LABCTL, "report", str(tmp_path / "one"), "--output", str(tmp_path / "report")],
        capture_output=True, text=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--output" in done.stderr
    assert (tmp_path / "report/thesis.txt").read_text() == "mine"

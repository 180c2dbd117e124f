"""Generated results are what the harness and Allure read, and the same again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.evidence import history
from perf.lab import BenchmarkError
from perf.reports import Results, _shows


def test_the_same_seed_makes_the_same_tests_and_another_run_other_ends(tmp_path: Path) -> None:
    for folder, number in (("first", 0), ("again", 0), ("later", 1)):
        Results(tmp_path / folder, 7, number).write(120)
    first, again, later = (history.of_results(tmp_path / folder) for folder in ("first", "again", "later"))
    assert len(first) == 120
    assert first == again
    assert first.keys() == later.keys()
    assert {test for test, one in first.items() if one.status == "failed"} not in (
        set(),
        {test for test, one in later.items() if one.status == "failed"},
    )


def test_what_a_failed_test_gets_is_there(tmp_path: Path) -> None:
    Results(tmp_path, 7, 0).write(60)
    written = [json.loads(file.read_text()) for file in tmp_path.glob("*-result.json")]
    named = {one["source"] for result in written for one in result.get("attachments", [])}
    assert named == {file.name for file in tmp_path.glob("*-attachment.*")}
    assert any(name.endswith(".html") for name in named)


def test_a_report_that_lacks_results_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "data/test-results").mkdir(parents=True)
    (tmp_path / "data/test-results/1.json").touch()
    _shows(tmp_path, 1)
    with pytest.raises(BenchmarkError, match="1 of 2"):
        _shows(tmp_path, 2)

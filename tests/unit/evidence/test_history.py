"""Runs of tests: what Allure keeps of them, and what is to be thought of a test by that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.evidence.history import (
    Ended,
    Figure,
    HistoryError,
    before,
    figures,
    is_same,
    of_line,
    of_results,
    page,
    slim,
)

RESULT = {"name": "test_x[1]", "fullName": "tests.lab.test_a.TestThat#test_x", "status": "passed", "start": 7}


def run(**statuses: str) -> dict[str, Ended]:
    return {test: Ended(status, 0) for test, status in statuses.items()}


def test_results_and_history_name_a_test_alike(tmp_path: Path) -> None:
    (tmp_path / "a-result.json").write_text(json.dumps(RESULT))
    (tmp_path / "b-container.json").write_text("{}")
    line = json.dumps({"uuid": "u", "testResults": {"some.id": {**RESULT, "status": "failed", "start": 3}}})
    now, before = of_results(tmp_path), of_line(tmp_path, line)
    assert now == {"tests.lab.test_a.TestThat::test_x[1]": Ended("passed", 7)}
    assert figures([before], now) == [Figure("tests.lab.test_a.TestThat::test_x[1]", 2, 1, 1, "passed")]
    assert is_same(now, of_line(tmp_path, line.replace('"failed", "start": 3', '"passed", "start": 7')))
    assert not is_same(now, before)


def test_of_a_test_that_was_tried_again_the_last_try_counts(tmp_path: Path) -> None:
    for start, status in ((9, "passed"), (7, "failed"), (8, "broken")):
        (tmp_path / f"{start}-result.json").write_text(json.dumps({**RESULT, "start": start, "status": status}))
    assert [ended.status for ended in of_results(tmp_path).values()] == ["passed"]


def test_the_least_trustworthy_comes_first_and_what_was_skipped_says_nothing() -> None:
    earlier = [
        run(steady="passed", flaky="passed", broke="passed"),
        run(steady="skipped", flaky="failed", broke="passed", gone="failed"),
        run(steady="passed", flaky="passed", broke="passed"),
    ]
    now = run(steady="passed", flaky="skipped", broke="broken", new="passed")
    assert figures(earlier, now) == [
        Figure("flaky", 3, 1, 2, "skipped"),
        Figure("broke", 4, 1, 1, "broken"),
        Figure("new", 1, 0, 0, "passed"),
        Figure("steady", 3, 0, 0, "passed"),
    ]


def test_the_page_tells_of_those_that_ever_failed() -> None:
    shown = page([Figure("test_x[<b>]", 4, 2, 3, "passed"), Figure("test_steady", 4, 0, 0, "passed")])
    assert "<tr><td>test_x[&lt;b&gt;]</td><td>4</td><td>2</td><td>3</td><td>passed</td></tr>" in shown
    assert "test_steady" not in shown
    assert "1 other tests never failed" in shown


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"uuid": 1}', '{"testResults": {"a": 1}}'])
def test_what_is_no_history_is_refused_by_name(line: str, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"notes\.txt is no history"):
        of_line(tmp_path / "notes.txt", line)


def test_a_run_is_kept_without_what_its_pages_do_not_show(tmp_path: Path) -> None:
    test = {**RESULT, "id": "i", "historyId": "h", "message": "no answer", "labels": [{"name": "suite"}], "url": ""}
    line = json.dumps({"uuid": "u", "knownTestCaseIds": ["c"], "testResults": {"h": {**test, "reportLinks": []}}})
    kept = slim(line)
    assert json.loads(kept) == {
        "uuid": "u",
        "knownTestCaseIds": ["c"],
        "testResults": {"h": {**RESULT, "id": "i", "historyId": "h", "message": "no answer"}},
    }
    assert of_line(tmp_path, kept) == of_line(tmp_path, line)
    assert slim(kept) == kept


def test_a_run_that_is_looked_at_again_counts_once_and_the_oldest_goes() -> None:
    runs = [(f"line {begun}", {"a": Ended("passed", begun)}) for begun in (1, 2, 3)]
    assert [line for line, _ in before(runs, {"a": Ended("passed", 3)}, 50)] == ["line 1", "line 2"]
    assert [line for line, _ in before(runs, {"a": Ended("passed", 4)}, 3)] == ["line 2", "line 3"]
    assert before(runs, {"a": Ended("passed", 4)}, 1) == []

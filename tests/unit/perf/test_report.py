"""Results as a page: nothing is hidden, each figure has its command, and the page needs nothing else."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from perf import record
from perf.report import page
from perf.statistics import Comparison, Series

FLOOR = Series.of([1.0, 1.1, 1.2, 1.0, 1.1])
OURS = Series.of([2.0, 2.2, 2.4, 2.0, 2.2])


def result(*comparisons: Comparison, started: str = "2026-11-22T10:00:00+00:00", **more: Any) -> dict[str, Any]:
    told = [one.as_json() for one in comparisons]
    return {"benchmark": "B1 <things>", "started": started, "seed": 7, "comparisons": told, **more}


def test_a_figure_has_its_ratios_its_verdict_and_its_command(tmp_path: Path) -> None:
    peer = Series.of([4.0, 4.4, 4.8, 4.0, 4.4])
    missed = Comparison("slow thing", OURS, FLOOR, most_ratio=1.5, peer=peer)
    record.kept("things", Namespace(rounds=5, seed=7), lambda: result(missed), tmp_path)
    shown = page(record.read_all(tmp_path))
    assert "<pre>labctl bench things --rounds 5 --seed 7</pre>" in shown
    row = re.search(r'<tr class="missed">.*?</tr>', shown)
    assert row
    for cell in (
        "slow thing",
        "ours: 2.2 (2 – 2.4)",
        "floor: 1.1 (1 – 1.2)",
        "2 ×",
        "0.5 × (4.4",
        "ratio ≤ 1.5",
        "MISSED",
    ):
        assert cell in row[0]
    assert "B1 &lt;things&gt;" in shown


def test_what_is_void_is_shown_as_void_with_its_reason(tmp_path: Path) -> None:
    moved = Series.of([1.0, 1.0, 1.0, 1.0, 1.6])
    record.save("things", result(Comparison("x", OURS, moved, most_ratio=9)), tmp_path)
    shown = page(record.read_all(tmp_path))
    assert '<tr class="void">' in shown
    assert shown.count("VOID: the floor&#x27;s slowest round took 1.60 times its fastest") == 2  # row and plot
    assert ">kept<" not in shown


def test_a_ratio_over_runs_keeps_void_runs_apart(tmp_path: Path) -> None:
    steady, moved = Comparison("x", OURS, FLOOR), Comparison("x", OURS, Series.of([1.0, 1.0, 1.0, 1.0, 1.6]))
    for day, one in enumerate([steady, moved, steady], 1):
        record.save("things", result(one, started=f"2026-11-0{day}T10:00:00+00:00"), tmp_path)
    shown = page(record.read_all(tmp_path))
    assert "x: ratio over 3 runs" in shown
    assert "<summary>2 runs before</summary>" in shown


def test_promises_without_a_floor_are_told_too(tmp_path: Path) -> None:
    promise = {"median": 12.0, "rounds": [12.0], "bound": 10.0, "kept": False}
    record.save("things", result(milliseconds_a_test=promise), tmp_path)
    shown = page(record.read_all(tmp_path))
    assert "milliseconds a test" in shown
    assert "1.2 × bound" in shown
    assert "MISSED" in shown


def test_a_promise_of_a_run_that_says_nothing_is_not_kept(tmp_path: Path) -> None:
    promise = {"median": 8.0, "rounds": [8.0], "bound": 10.0, "kept": True}
    record.save("things", result(milliseconds_a_test=promise, void="1 rounds are fewer than 5"), tmp_path)
    shown = page(record.read_all(tmp_path))
    assert ">kept<" not in shown
    assert shown.count("VOID: 1 rounds are fewer than 5") == 2  # of the run, and in the row


def test_the_page_of_all_results_that_are_kept_here_needs_nothing_else() -> None:
    results = record.read_all()
    shown = page(results)
    assert "<script" not in shown
    outside = [one for one in re.findall(r"""(?:https?:)?//[\w.-]+""", shown) if "www.w3.org" not in one]
    assert outside == []
    assert {one.module for one in results} <= set(re.findall(r'<section id="([\w-]+)">', shown))
    ids = re.findall(r' id="(chart-[^"]+)"', shown)
    assert len(ids) == len(set(ids)), "two plots would share their styles"


def test_a_run_that_did_not_say_its_command_is_told_with_its_seed(tmp_path: Path) -> None:
    (tmp_path / "things-20261101T100000Z.json").write_text(json.dumps(result()))
    assert record.read_all(tmp_path)[0].command == "labctl bench things --seed 7"


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd-1.json").write_text("{}")
    with pytest.raises(record.ResultError, match=r"odd-1\.json is no result"):
        record.read_all(tmp_path)

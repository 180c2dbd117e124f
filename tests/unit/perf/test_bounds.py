"""All bounds in one table: the newest run that counts, and of what is missed, why."""

from __future__ import annotations

from harness.cli.benching import benchmarks
from perf.bounds import missed, page
from perf.record import read_all
from tests.unit.perf.test_figures import comparison, result


def test_each_figure_with_a_bound_is_told_by_its_newest_run_that_counts() -> None:
    runs = [
        result("lab", 1, comparison("up demo", 9.0, 2.0, bound=10.0), comparison("up other", 9.0, 2.0)),
        result("lab", 2, comparison("up demo", 12.0, 2.0, bound=10.0), comparison("down demo", 1.0, 2.0, bound=5.0)),
        result("lab", 3, comparison("up demo", 8.0, 2.0, rounds=2, bound=10.0)),
    ]
    told = page(runs, {"lab": "B1: labs", "reports": "B13: reports", "harness": "B13: tests"})
    assert "| up demo | ≤ 10 s | 6 ×: 12 (12 – 12) s | **missed**; since then void, and kept | 2026-11-02 |" in told
    assert "| down demo | ≤ 5 s | 0.5 ×: 1 (1 – 1) s | kept | 2026-11-02 |" in told
    assert "up other" not in told
    assert "*Missed:* A floor is" in told
    assert "## reports\n\nB13: reports\n\nNot measured yet." in told


def test_what_was_only_void_is_told_as_that_and_counts_for_nothing() -> None:
    runs = [result("harness", 1, milliseconds={"median": 1234.5, "bound": 10.0, "kept": False}, void="2 rounds")]
    assert "| milliseconds | ≤ 10 | 1,234 | void | 2026-11-01 |" in page(runs, {"harness": "B13"})
    assert list(missed(runs)) == []


def test_what_is_missed_by_a_run_that_is_void_is_said_too() -> None:
    runs = [
        result("harness", 1, milliseconds={"median": 8.0, "bound": 10.0, "kept": True}),
        result("harness", 2, milliseconds={"median": 12.0, "bound": 10.0, "kept": False}, void="2 rounds"),
    ]
    told = page(runs, {"harness": "B13"})
    assert "| milliseconds | ≤ 10 | 8 | kept; since then void, and **missed** (12) | 2026-11-01 |" in told
    assert list(missed(runs)) == []


def test_each_scenario_of_load_has_promises_of_its_own() -> None:
    promise = {"median": 8.0, "bound": 10.0, "kept": True}
    runs = [result("load", day, p95=promise, scenario={"name": name}) for day, name in ((1, "step"), (2, "spike"))]
    told = page(runs, {"load": "B5"})
    assert "| step, p95 | ≤ 10 | 8 | kept | 2026-11-01 |" in told
    assert "| spike, p95 | ≤ 10 | 8 | kept | 2026-11-02 |" in told


def test_of_everything_that_is_missed_somebody_says_why() -> None:
    results = read_all()
    assert [(module, name) for module, name, why in missed(results) if not why] == []
    assert all(f"## {name}\n" in page(results, benchmarks()) for name in benchmarks())

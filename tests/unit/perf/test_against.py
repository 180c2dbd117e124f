"""The gate: what counts as slower, and when nothing can be said."""

from __future__ import annotations

from typing import Any

import pytest

from perf.against import Figure, told
from perf.statistics import LEAST_ROUNDS, Comparison, Series

FLOORS = [1.0, 1.1] * 5
PARENT = [2.0, 2.02, 1.98, 2.01, 1.99]


def figure(ours: list[float], more_is_better: bool = False, floors: list[float] = FLOORS) -> Figure:
    return Figure(more_is_better, ours, PARENT, floors)


@pytest.mark.parametrize(
    ("ours", "rates", "change"),
    [
        ([2.01, 1.99, 2.0, 2.02, 1.98], False, ""),
        ([2.6, 2.62, 2.58, 2.61, 2.59], False, "regression"),
        ([2.6, 2.62, 2.58, 2.61, 2.59], True, "progression"),
        ([1.4, 1.42, 1.38, 1.41, 1.39], False, "progression"),
        ([1.4, 1.42, 1.38, 1.41, 1.39], True, "regression"),
    ],
)
def test_slower_is_more_seconds_or_a_smaller_rate(ours: list[float], rates: bool, change: str) -> None:
    found = figure(ours, rates)
    assert found.change == change
    assert told("x", found, "0123abc")["kept"] is (change != "regression")


def test_nothing_is_said_when_the_floor_moved_or_turns_are_missing() -> None:
    slower = [2.6, 2.62, 2.58, 2.61, 2.59]
    moved = told("x", figure(slower, floors=[1.0, 1.6]), "0123abc")
    assert (moved["kept"], "1.60 times" in moved["void"]) == (None, True)
    few = told("x", figure(slower[:4]), "0123abc")
    assert (few["kept"], few["void"]) == (None, "4 turns are fewer than 5")


def comparison(ours: float, **more: Any) -> dict[str, Any]:
    return Comparison("x", Series.of([ours]), Series.of([2.0]), **more).as_json()


@pytest.mark.parametrize(
    ("one", "better"),
    [
        (comparison(1.0), False),
        (comparison(1.0, unit="MB", most_ratio=2.0), False),
        (comparison(1.0, unit="/s"), True),
        (comparison(1.0, unit="frames/s"), True),
        (comparison(1.0, measured="OpenDaylight", least_ratio=5.0), True),
        (comparison(1.0, measured="OpenDaylight"), True),
        ({"median": 600.0, "bound": 500.0, "at least": True, "kept": True}, True),
        ({"median": 6.0, "bound": 10.0, "kept": True}, False),
    ],
)
def test_what_is_better_is_said_by_what_was_measured(one: dict[str, Any], better: bool) -> None:
    found = Figure()
    found.take(one, ours=True)
    assert found.more_is_better is better


def test_what_a_run_measured_goes_to_its_side() -> None:
    found = Figure()
    found.take(comparison(1.0), ours=True)
    found.take(comparison(4.0), ours=False)
    assert (found.ours, found.theirs, found.floors) == ([0.5], [2.0], [2.0, 2.0])


@pytest.mark.parametrize(("more", "why"), [({"failed": 2}, "2 requests failed"), ({"headroom": 1.5}, "only 1.5 times")])
def test_a_turn_that_says_nothing_makes_all_of_them_void(more: dict[str, Any], why: str) -> None:
    found = Figure()
    for _ in range(LEAST_ROUNDS):
        found.take(comparison(1.0), ours=True)
        found.take(comparison(1.0, **more), ours=False)
    assert why in told("x", found, "0123abc")["void"]


def test_a_figure_that_only_one_commit_has_or_that_is_nothing_is_not_compared() -> None:
    ours, theirs = Figure(), Figure()
    ours.take(comparison(1.0), ours=True)
    theirs.take(comparison(1.0), ours=False)
    assert (ours.incomparable, theirs.incomparable) == ("only this commit has it", "only the other has it")
    theirs.take({"median": 0.0, "bound": 1.0, "kept": True}, ours=True)
    assert theirs.incomparable == "it is nothing, in a turn"
    ours.take(comparison(2.0), ours=False)
    assert ours.incomparable == ""

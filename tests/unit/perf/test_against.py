"""The gate: what counts as slower, and when nothing can be said."""

from __future__ import annotations

import pytest

from perf.against import Figure, told

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


def test_what_a_run_measured_goes_to_its_side() -> None:
    found = Figure()
    found.take({"ratio": 0.98, "floor": {"median": 270.0}, "least_ratio": 0.9}, ours=True)
    found.take({"ratio": 0.97, "floor": {"median": 280.0}, "least_ratio": 0.9}, ours=False)
    assert (found.ours, found.theirs, found.floors, found.more_is_better) == ([0.98], [0.97], [270.0, 280.0], True)

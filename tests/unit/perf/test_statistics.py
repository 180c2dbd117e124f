"""A benchmark's verdict: what counts, what is void, what is said."""

from __future__ import annotations

import pytest

from perf.lab import Rounds, phases_of, table
from perf.statistics import Comparison, Series, medians

STEADY = Series.of([1.0, 1.1, 1.2, 1.0, 1.1])


def test_a_series_says_median_and_extremes() -> None:
    assert Series.of([3, 1, 2]).as_json() == {"median": 2, "min": 1, "max": 3, "rounds": [3, 1, 2]}
    assert Series.of([1, 2]).median == 1.5
    assert Series.of([2, 3]).spread == 1.5


@pytest.mark.parametrize("values", [[], [1, 0], [1, -1]])
def test_a_series_without_sense_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"series|no time"):
        Series.of(values)


def test_the_ratio_is_of_rounds_and_not_of_medians() -> None:
    """Two rounds on a machine that was twice as slow: ours is three floors in each."""
    floor = Series.of([1, 2, 2, 1, 1])
    assert Comparison("x", Series.of([3, 6, 6, 3, 3]), floor).ratio == 3


def test_rounds_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = Comparison("x", STEADY, Series.of([1])).ratio


@pytest.mark.parametrize(
    ("floor", "why"),
    [
        ([1, 1, 1, 1, 1.5], ""),
        ([1, 1, 1, 1, 1.51], "1.51 times its fastest"),
        ([1, 1, 1, 1], "4 rounds are fewer than 5"),
    ],
)
def test_a_run_is_void_when_its_floor_moves(floor: list[float], why: str) -> None:
    void = Comparison("x", Series.of([9.0] * len(floor)), Series.of(floor)).void
    assert (why in void) if why else void == ""


def test_of_two_that_are_no_floor_either_may_move_and_void_it() -> None:
    moved = Series.of([1, 1, 1, 1, 1.6])
    assert "peer: the slowest round took 1.60" in Comparison("x", moved, STEADY, measured="peer", both_steady=True).void
    assert not Comparison("x", moved, STEADY).void
    assert not Comparison("x", STEADY, STEADY, both_steady=True).void


def test_a_bound_is_kept_or_not_or_absent() -> None:
    assert Comparison("x", STEADY, STEADY, 1.1).kept is True
    assert Comparison("x", STEADY, STEADY, 1.0).kept is False
    assert Comparison("x", STEADY, STEADY).kept is None


def test_phases_are_read_from_what_the_command_says() -> None:
    said = "try labctl down x\n\nup in 10.4 s (images 0.72, probe 0.00, host 1.75,\nnodes 3.31)\n"
    assert phases_of(said) == {"images": 0.72, "probe": 0.0, "host": 1.75, "nodes": 3.31}
    assert phases_of("labctl: no") == {}


def test_medians_of_phases_that_not_every_round_has() -> None:
    assert medians([{"a": 1, "b": 5}, {"a": 3}, {"a": 2}]) == {"a": 2, "b": 5}


def test_a_floor_is_boot_and_objects_and_processes() -> None:
    parts = {"boot": 1.0, "links": 0.25, "spawn": 0.25, "stop": 0.5}
    rounds = Rounds(up=[6.0] * 5, down=[1.0] * 5, floor=[parts] * 5)
    up, down = rounds.comparisons("demo")
    assert (up.name, up.floor.median, up.ratio) == ("up demo", 1.5, 4.0)
    assert (down.name, down.floor.median, down.ratio) == ("down demo", 0.5, 2.0)
    assert (up.kept, down.kept) == (False, True)  # four floors are more than two


def test_a_demo_is_healthy_within_ten_seconds_and_two_floors() -> None:
    """Of another topology nobody promised seconds; a user who waits is told in seconds and in floors."""

    def kept(name: str, up: float) -> bool | None:
        parts = {"boot": 4.0, "links": 0.5, "spawn": 0.5, "stop": 0.5}
        return Rounds(up=[up] * 5, down=[1.0] * 5, floor=[parts] * 5).comparisons(name)[0].kept

    assert [kept("demo", up) for up in (10.0, 10.1)] == [True, False]
    assert [kept("plain", up) for up in (9.9, 10.1)] == [True, False]  # two floors of 5 s
    parts = {"boot": 9.0, "links": 0.5, "spawn": 0.5, "stop": 0.5}
    slow = {name: Rounds(up=[11.0] * 5, down=[1.0] * 5, floor=[parts] * 5) for name in ("demo", "plain")}
    assert {name: rounds.comparisons(name)[0].kept for name, rounds in slow.items()} == {"demo": False, "plain": True}


def test_the_table_has_a_bound_where_there_is_one() -> None:
    parts = {"boot": 9.0, "links": 0.5, "spawn": 0.5, "stop": 0.5}
    found = [
        one.as_json()
        for name in ("demo", "plain")
        for one in Rounds(up=[11.0] * 5, down=[1.0] * 5, floor=[parts] * 5).comparisons(name)
    ]
    up_demo, _, up_plain, _ = table({"comparisons": found, "phases": {}, "floor_parts": {}}).splitlines()[1:]
    assert up_demo.split()[-6:] == ["≤", "10", "≤", "2", "BOUND", "MISSED"]
    assert up_plain.split()[-3:] == ["1.1", "≤", "2"]

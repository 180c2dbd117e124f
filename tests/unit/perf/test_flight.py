"""Orders at one moment: what is told of them, beside as many edits."""

from __future__ import annotations

import pytest

from perf.flight import Flight
from perf.lab import BenchmarkError

LIVE = {
    "order accepted": [100.0, 200.0], "order applied": [1000.0, 3000.0], "order completed": [1100.0, 3100.0],
    "end nothing passes": [300.0, 300.0],
}  # fmt: skip
CANCELLED = {"cancel undone": [400.0, 600.0], "end nothing passes": [300.0, 300.0]}
EDITS = {"NETCONF edit and commit": [50.0, 100.0]}


def flight(*rounds: tuple[dict[str, list[float]], int]) -> Flight:
    found = Flight(2)
    for live, failed in rounds:
        found.add("cancelled orders", CANCELLED, {})
        found.add("netconf", EDITS, {})
        found.add("orders", live, {"orders: it ended otherwise": failed} if failed else {})
        found.headroom += [8.0, 9.0]
    return found


def test_percentiles_stand_beside_those_of_as_many_edits() -> None:
    told = {one.name: one for one in flight(*[(LIVE, 0)] * 5).comparisons()}
    assert told["order applied p50, 2 in flight"].ours.median == 1.0
    assert told["order applied p95, 2 in flight"].ours.median == 3.0
    assert told["order applied p95, 2 in flight"].ratio == 30.0
    assert told["order applied p50, 2 in flight"].ratio == 20.0
    assert told["order accepted p99, 2 in flight"].ours.median == 0.2
    assert told["cancel undone p95, 2 in flight"].ours.median == 0.6
    assert {one.void for one in told.values()} == {""}
    assert told["order accepted p99, 2 in flight"].headroom == 8.5


def test_what_does_not_succeed_is_told_by_its_share_and_voids_the_figures() -> None:
    one_fails = {**LIVE, "end nothing passes": [300.0], "order applied": [1000.0]}
    found = flight(*[(LIVE, 0)] * 2, *[(one_fails, 1)] * 3)
    assert {one.void for one in found.comparisons()} == {"3 requests failed"}
    [share] = found.promises().values()
    assert (share["median"], share["min"], share["kept"], share["void"]) == (0.5, 0.5, False, "")
    assert found.errors == {"orders: it ended otherwise": 3}
    [share] = flight(*[(LIVE, 0)] * 4, (one_fails, 1)).promises().values()
    assert (share["median"], share["kept"]) == (1.0, False)
    [share] = flight(*[(LIVE, 0)] * 5).promises().values()
    assert (share["median"], share["kept"]) == (1.0, True)


def test_a_generator_that_is_too_slow_voids_shares_too() -> None:
    found = flight(*[(LIVE, 0)] * 5)
    found.headroom = [2.0]
    [share] = found.promises().values()
    assert "generator" in str(share["void"])


def test_nothing_at_all_is_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="no cancel undone"):
        Flight(1).add("cancelled orders", {}, {"cancelled orders: 500": 1})

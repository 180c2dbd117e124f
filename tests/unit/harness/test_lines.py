"""How what is wrong with a line adds up, and what tc is told of it."""

from __future__ import annotations

import pytest

from harness.agent.lines import combined, netem


def test_nothing_is_nothing() -> None:
    assert combined([]) == {}
    assert combined([{"seed": 5}]) == {}


def test_times_add_up_shares_hit_what_is_left_and_the_smallest_rate_counts() -> None:
    found = combined(
        [
            {"delay": 20, "loss": 50, "rate": 5e6, "queue": 100, "seed": 1},
            {"delay": 5, "jitter": 2, "loss": 50, "corrupt": 10, "rate": 1e6, "queue": 50, "seed": 2},
        ]
    )
    assert found == pytest.approx(
        {"delay": 25, "jitter": 2, "loss": 75, "corrupt": 10, "rate": 1e6, "queue": 100, "seed": 3}
    )
    assert combined([{"loss": 100}, {"loss": 5}])["loss"] == 100


def test_tc_is_told_in_its_own_units() -> None:
    words, table = netem({"delay": 20, "jitter": 0.5, "loss": 5, "seed": 7}, 1500)
    assert " ".join(words) == "limit 10000 delay 20000us 500us loss 5.000000% seed 7"
    assert table == []


def test_what_waits_behind_a_rate_is_bounded() -> None:
    words, _ = netem({"rate": 1e6, "queue": 200, "delay": 40, "seed": 1}, 1500)
    assert words[:2] == ["limit", "20"]  # 240 ms of 1 Mbit/s in frames of 1518 octets
    assert "rate 1000000bit" in " ".join(words)


def test_reordered_frames_are_late_ones_and_as_many_as_asked() -> None:
    words, table = netem({"delay": 30, "reorder": 5, "late": 10, "seed": 1}, 1500)
    assert "delay 30000us 10000us distribution {table}" in " ".join(words)
    assert set(table) == {0, 8192}
    assert table.count(8192) / len(table) == pytest.approx(0.05, abs=0.01)
    assert netem({"delay": 30, "reorder": 5, "late": 10, "seed": 1}, 1500)[1] == table

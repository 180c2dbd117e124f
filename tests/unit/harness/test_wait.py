"""Waits are named, end at their deadline, and scale by one knob."""

from __future__ import annotations

import pytest

from harness.wait import Deadline, DeadlineError, wait_for


def test_a_condition_that_holds_is_not_waited_for() -> None:
    assert wait_for("seven", lambda: 7, 0) == 7


def test_a_wait_that_fails_names_the_condition_and_what_it_saw() -> None:
    with pytest.raises(DeadlineError, match=r"waited 0\.05 s for: the moon; last seen: \[\]"):
        wait_for("the moon", lambda: [], 0.05, interval=0.01)


def test_errors_count_as_not_yet_only_if_they_are_expected() -> None:
    def broken() -> bool:
        raise OSError("refused")

    with pytest.raises(DeadlineError, match="refused"):
        wait_for("a port", broken, 0.05, interval=0.01, retry_on=(OSError,))
    with pytest.raises(OSError, match="refused"):
        wait_for("a port", broken, 0.05)


def test_one_knob_scales_all_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICLAB_TIME_SCALE", "4")
    assert Deadline(2).limit == 8


def test_several_waits_share_one_deadline() -> None:
    deadline = Deadline(0.05)
    for _ in range(3):
        with pytest.raises(DeadlineError):
            wait_for("never", lambda: False, deadline, interval=0.01)
    assert deadline.expired


def test_a_deadline_that_is_restarted_has_all_of_its_time_again() -> None:
    deadline = Deadline(0.05)
    with pytest.raises(DeadlineError):
        wait_for("never", lambda: False, deadline, interval=0.01)
    deadline.restart()
    assert not deadline.expired

"""Waits are named, end at their deadline, and scale by one knob."""

from __future__ import annotations

import pytest

from harness import deeds
from harness.deeds import Deed
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


def test_who_listens_is_told_what_was_waited_for_and_nothing_that_was_there_at_once() -> None:
    heard: list[Deed] = []
    looks = iter([False, True])
    with deeds.heard(heard.append):
        wait_for("the sun", lambda: True, 1)
        wait_for("the tide", lambda: next(looks), 1, interval=0.01)
        with pytest.raises(DeadlineError):
            wait_for("the moon", lambda: False, 0.02, interval=0.01)
    wait_for("nobody to listen", iter([False, True]).__next__, 1, interval=0.01)
    assert [deed.what for deed in heard] == ["wait", "wait"]
    assert heard[0].text.startswith("the tide: after 0.01")
    assert heard[1].text == "the moon: not in 0.02 s"

"""Steps: heard of wherever they are taken, and in their place on the timeline."""

from __future__ import annotations

import allure
import pytest

from harness.evidence.steps import Steps, step
from harness.evidence.timeline import of_steps, page


@step("buy {what}")
def buy(what: str) -> str:
    return what


def test_steps_are_heard_of_as_they_nest_and_only_inside_the_block() -> None:
    steps = Steps()
    with step("before"):
        pass
    with steps.heard():
        with step("outer"), allure.step("inner"):
            assert buy("a site") == "a site"
        with step("next"):
            pass
    with step("after"):
        pass
    told = [(one.title, one.depth) for one in steps.taken]
    assert told == [("outer", 0), ("inner", 1), ("buy 'a site'", 2), ("next", 0)]
    assert all(one.ended is not None and one.begun <= one.ended for one in steps.taken)


def fail(error: Exception, steps: Steps, during: list[str]) -> None:
    during += steps.around(error)
    raise error


def test_an_error_knows_its_steps_while_it_leaves_them_and_afterwards() -> None:
    steps, error, during = Steps(), AssertionError("it"), list[str]()
    with steps.heard():
        with step("done before"):
            pass
        with pytest.raises(AssertionError), step("outer"), step("inner"):
            fail(error, steps, during)
    assert during == steps.around(error) == ["outer", "inner"]
    assert steps.around(ValueError("another")) == []


def test_begin_and_end_are_on_the_timeline_with_how_it_ended() -> None:
    steps = Steps()
    with steps.heard():
        with pytest.raises(ValueError, match="on purpose"), step("outer"), step("<inner>"):
            raise ValueError("on purpose")
        with step("well"):
            pass
    told = [entry.text.rsplit(",", 1)[0] for entry in sorted(of_steps(steps.taken), key=lambda entry: entry.at)]
    assert told == [
        "outer",
        "    <inner>",
        "    <inner>: left by ValueError",
        "outer: left by ValueError",
        "well",
        "well: done",
    ]
    shown = page("a test", list(of_steps(steps.taken)), steps.taken[0].begun)
    assert shown.count('<tr class="step"') == 3
    assert "&lt;inner&gt;" in shown

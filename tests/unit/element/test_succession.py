"""Who is called sends through the older of two SAs; what it takes for that is the precedence of the next one."""

from __future__ import annotations

from typing import Any

import pytest
from element.apply.succession import Succession


def message(**changes: Any) -> dict[str, Any]:
    children = {name: {"start_action": changes.pop("start_action", "none")} for name in ("one", "two")}
    return {"version": "2", "unique": "replace", "children": children} | changes


def precedence(succession: Succession, name: str = "ucpe-1") -> int:
    told = message()
    succession.order(name, told)
    [number] = {int(child["priority"]) for child in told["children"].values()}
    return number


def sa(name: str, number: int) -> dict[str, str]:
    return {"name": name, "uniqueid": str(number)}


def test_what_comes_later_has_a_higher_number() -> None:
    succession = Succession()
    numbers = [precedence(succession) for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_another_life_of_the_program_comes_later_too() -> None:
    before = precedence(Succession())
    assert precedence(Succession()) >= before


@pytest.mark.parametrize(
    "other",
    [{"start_action": "trap|start"}, {"unique": "never"}, {"version": "1"}],
    ids=["the one that calls", "SAs of a dead peer stay", "IKEv1"],
)
def test_elsewhere_the_newest_counts(other: dict[str, str]) -> None:
    told = message(**other)
    Succession().order("ucpe-1", told)
    assert all("priority" not in child for child in told["children"].values())


def test_a_connection_with_a_new_sa_is_outdated_once() -> None:
    succession = Succession()
    precedence(succession)
    assert list(succession.outdated([])) == []
    assert list(succession.outdated([sa("ucpe-1", 1)])) == ["ucpe-1"]
    assert list(succession.outdated([sa("ucpe-1", 1)])) == []
    assert list(succession.outdated([sa("ucpe-1", 1), sa("ucpe-1", 2)])) == ["ucpe-1"]
    assert list(succession.outdated([sa("ucpe-1", 2)])) == [], "that the old one is gone changes nothing"


def test_connections_that_have_no_precedence_are_left_alone() -> None:
    succession = Succession()
    succession.order("vmsr-1", message(start_action="trap|start"))
    assert list(succession.outdated([sa("vmsr-1", 1)])) == []

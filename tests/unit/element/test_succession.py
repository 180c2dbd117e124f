"""Who is called sends through the older of two SAs; what it takes for that is the precedence of the next one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from element.apply.daemon import CharonError, Daemon
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


class Vici(Daemon):
    """Writes down which precedence each connection was told with."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.told: list[tuple[str, int]] = []
        self.sas: list[Any] = []
        self.refuses = False

    def call(self, command: str, message: Any = None) -> Any:
        if command == "list_sas":
            return [{one["name"]: {"uniqueid": one["uniqueid"].encode()}} for one in self.sas]
        if self.refuses:
            raise CharonError(command)
        [(name, told)] = message.items()
        self.told.append((name, int(told["children"]["one"]["priority"])))
        return {}


def test_who_has_got_an_sa_is_told_again_with_a_higher_number_until_it_is_taken() -> None:
    succession, charon, aside = Succession(), Vici(), Vici()
    succession.tell("ucpe-1", message(), charon)
    aside.sas = [sa("ucpe-1", 1), sa("ucpe-2", 2)]
    aside.refuses = True
    with pytest.raises(CharonError):
        succession.line_up(aside)
    aside.refuses = False
    succession.line_up(aside)
    succession.line_up(aside)
    assert [name for name, _ in aside.told] == ["ucpe-1"]
    assert aside.told > charon.told


def test_a_connection_that_is_unloaded_is_not_told_again() -> None:
    succession, aside = Succession(), Vici()
    for name in ("ucpe-1", "ucpe-2"):
        succession.tell(name, message(), Vici())
    succession.forget("ucpe-1")
    aside.sas = [sa("ucpe-1", 1), sa("ucpe-2", 2)]
    succession.line_up(aside)
    assert [name for name, _ in aside.told] == ["ucpe-2"]


def test_what_changes_meanwhile_is_told_last() -> None:
    """Two sessions: a version that is out of date never overtakes the one that came after it."""
    succession = Succession()
    order: list[str] = []
    reached, proceed = threading.Event(), threading.Event()

    class Aside(Vici):
        def call(self, command: str, message: Any = None) -> Any:
            if command == "load_conn":
                reached.set()
                assert proceed.wait(5)
                order.append(message["ucpe-1"]["local"])
            return super().call(command, message)

    class Main(Vici):
        def call(self, command: str, message: Any = None) -> Any:
            order.append(message["ucpe-1"]["local"])

    succession.tell("ucpe-1", message(local="first"), Main())
    aside = Aside()
    aside.sas = [sa("ucpe-1", 1)]
    again = threading.Thread(target=succession.line_up, args=(aside,))
    again.start()
    assert reached.wait(5)
    changed = threading.Thread(target=succession.tell, args=("ucpe-1", message(local="second"), Main()))
    changed.start()
    changed.join(0.2)
    proceed.set()
    for one in (again, changed):
        one.join(5)
    assert order == ["first", "first", "second"]

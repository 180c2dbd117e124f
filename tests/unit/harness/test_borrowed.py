"""What is borrowed from a lab is given back, whatever becomes of the borrower."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, ItemsView
from pathlib import Path
from typing import IO

import pytest

from harness.agent.borrowed import Borrowed


class World:
    """Two switches that can be on, and a way back that can fail."""

    def __init__(self) -> None:
        self.on: set[str] = set()

    def off(self, switch: str) -> None:
        if switch not in self.on:
            raise LookupError(switch)
        self.on.discard(switch)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def borrowed(world: World, tmp_path: Path) -> Borrowed:
    return Borrowed({"off": world.off}, tmp_path)


def take(borrowed: Borrowed, world: World, switch: str) -> None:
    borrowed.take(switch, lambda: world.on.add(switch), ("off", {"switch": switch}))


def test_given_back_once(borrowed: Borrowed, world: World) -> None:
    take(borrowed, world, "a")
    assert world.on == {"a"}
    borrowed.give_back("a")
    assert world.on == set()
    with pytest.raises(LookupError, match="nothing to give back"):
        borrowed.give_back("a")


def test_what_ended_before_it_was_taken_is_not_taken(borrowed: Borrowed, world: World) -> None:
    take(borrowed, world, "a")
    borrowed.end("a")
    assert world.on == set()
    borrowed.end("b")
    with pytest.raises(LookupError, match="whoever asked for it waits no longer: b"):
        take(borrowed, world, "b")
    assert world.on == set()


def test_taking_twice_gives_the_first_back(borrowed: Borrowed, world: World) -> None:
    take(borrowed, world, "a")
    take(borrowed, world, "a")
    borrowed.give_back("a")
    assert world.on == set()


def test_a_failure_half_way_is_undone_and_told(borrowed: Borrowed, world: World) -> None:
    def half() -> None:
        world.on.add("a")
        raise OSError("half way")

    with pytest.raises(OSError, match="half way"):
        borrowed.take("a", half, ("off", {"switch": "a"}))
    assert world.on == set()


def test_all_are_given_back_also_when_one_cannot_be(borrowed: Borrowed, world: World) -> None:
    for switch in ("a", "b", "c"):
        take(borrowed, world, switch)
    world.on.discard("b")
    borrowed.give_back_all()
    assert world.on == set()
    with pytest.raises(LookupError, match="whoever asked for it waits no longer: a"):
        take(borrowed, world, "a")
    assert world.on == set()


def killed(world: World, does: Callable[[], object]) -> None:
    """A borrower of `a` dies without a word, when it does something if not before."""
    child = os.fork()
    if child == 0:
        try:
            does()
        finally:
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    world.on.add("a")  # the child's memory is gone, the world is not


def test_a_killed_borrowers_things_are_given_back_by_the_next(world: World, tmp_path: Path) -> None:
    killed(world, lambda: take(Borrowed({"off": world.off}, tmp_path), world, "a"))
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == set()
    assert len(list(tmp_path.iterdir())) == 1, "what was written down is gone"


def test_who_is_killed_while_it_writes_down_has_what_it_wrote_before_given_back(world: World, tmp_path: Path) -> None:
    class Kills(dict[str, str]):
        def items(self) -> ItemsView[str, str]:  # when it is written as JSON
            os.kill(os.getpid(), 9)
            return super().items()

    def borrows() -> None:
        mine = Borrowed({"off": world.off}, tmp_path)
        take(mine, world, "a")
        mine.take("b", lambda: world.on.add("b"), ("off", Kills(switch="b")))

    killed(world, borrows)
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == set()


def test_who_starts_beside_another_that_starts_takes_it_for_no_dead(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    others: list[Borrowed] = []

    def another_starts_before(file: IO[str], how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        others.append(Borrowed({"off": world.off}, tmp_path))
        lock(file, how)

    def borrows() -> None:
        monkeypatch.setattr(fcntl, "flock", another_starts_before)
        take(Borrowed({"off": world.off}, tmp_path), world, "a")

    killed(world, borrows)
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == set()


def test_a_living_borrowers_things_are_left_alone(borrowed: Borrowed, world: World, tmp_path: Path) -> None:
    take(borrowed, world, "a")
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == {"a"}

"""What is borrowed from a lab is given back, whatever becomes of the borrower."""

from __future__ import annotations

import os
from pathlib import Path

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


def test_a_killed_borrowers_things_are_given_back_by_the_next(world: World, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:  # the borrower, which dies without a word
        mine = Borrowed({"off": world.off}, tmp_path)
        take(mine, world, "a")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    world.on.add("a")  # the child's memory is gone, the world is not
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == set()


def test_a_living_borrowers_things_are_left_alone(borrowed: Borrowed, world: World, tmp_path: Path) -> None:
    take(borrowed, world, "a")
    Borrowed({"off": world.off}, tmp_path)
    assert world.on == {"a"}

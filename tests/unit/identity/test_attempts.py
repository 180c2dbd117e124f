"""Brute force: who must wait and for how long; and many who are right at once need not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from identity import attempts as module
from identity.attempts import ACCOUNT_FREE, ADDRESS_FREE, Attempts, Subject, of_person, of_program
from identity.credentials import check_password
from identity.schema import MIGRATIONS
from stackkit.database import Database

HERE = "192.0.2.1"


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(Database(tmp_path / "identity.sqlite", MIGRATIONS))


def attempt(attempts: Attempts, subjects: Sequence[Subject], *, right: bool = False, known: bool = False) -> int:
    """Seconds that it must wait."""
    with attempts.trying(subjects, known=known) as made:
        made.right = right and not made.wait
        return made.wait


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_a_wait_is_never_shorter_than_it_says(fraction, attempts, monkeypatch):
    """The clock gives whole seconds: a wait that began late in one must not end with it."""
    start = 1_800_000_000 + fraction
    monkeypatch.setattr(time, "time", lambda: start)
    for _ in range(ACCOUNT_FREE):
        assert attempt(attempts, of_person("admin", HERE)) == 0
    monkeypatch.setattr(time, "time", lambda: start + 0.999)
    told = attempt(attempts, of_person("admin", HERE))
    assert told >= 1
    monkeypatch.setattr(time, "time", lambda: start + 0.999 + told)
    assert attempt(attempts, of_person("admin", HERE)) == 0


def at_once(count: int, does: Callable[[int], int]) -> list[int]:
    """Everybody begins at the same moment."""
    all_there = threading.Barrier(count)

    def one(number: int) -> int:
        all_there.wait()
        return does(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def held(attempts: Attempts, subjects: Sequence[Subject], looked_at: list[int], *, right: bool) -> int:
    """A try with a password that is looked at for as long as any."""
    with attempts.trying(subjects) as made:
        if not made.wait:
            looked_at.append(1)
            check_password(None, "a password")
            made.right = right
        return made.wait


@pytest.mark.parametrize("account", ["one", "each"])
def test_all_who_are_right_get_in_at_once(account, attempts):
    """More than may fail: of one account from one address, and of an account each."""
    names = {"one": lambda _: "acme", "each": lambda number: f"person {number}"}[account]
    waits = at_once(40, lambda number: held(attempts, of_person(names(number), HERE), [], right=True))
    assert waits == [0] * 40


@pytest.mark.parametrize(("account", "free"), [("one", ACCOUNT_FREE), ("each", ADDRESS_FREE)])
def test_many_guesses_at_once_are_no_more_than_one_after_the_other(account, free, attempts):
    looked_at: list[int] = []
    names = {"one": lambda _: "acme", "each": lambda number: f"person {number}"}[account]
    waits = at_once(40, lambda number: held(attempts, of_person(names(number), HERE), looked_at, right=False))
    assert len(looked_at) == free
    assert sum(wait == 0 for wait in waits) == free


def test_after_a_wait_there_is_one_guess_however_many_come(attempts, monkeypatch):
    for _ in range(ACCOUNT_FREE):
        attempt(attempts, of_person("acme", HERE))
    later = time.time() + 3
    monkeypatch.setattr(time, "time", lambda: later)
    looked_at: list[int] = []
    at_once(20, lambda _: held(attempts, of_person("acme", HERE), looked_at, right=False))
    assert len(looked_at) == 1


def test_who_is_right_is_forgiven_and_the_address_is_not(attempts):
    for number in range(ADDRESS_FREE - 1):
        assert attempt(attempts, of_person(f"person {number}", HERE)) == 0
    assert attempt(attempts, of_person("acme", HERE), right=True) == 0
    assert attempt(attempts, of_person("acme", HERE)) == 0
    assert attempt(attempts, of_person("acme", HERE), right=True) > 0


def test_what_people_guess_holds_up_no_program_and_the_other_way_round(attempts):
    for number in range(ADDRESS_FREE):
        attempt(attempts, of_person(f"person {number}", HERE))
    assert attempt(attempts, of_person("acme", HERE)) > 0
    assert attempt(attempts, of_program("load", HERE), known=True) == 0
    for number in range(ADDRESS_FREE):
        attempt(attempts, of_program(f"program {number}", "192.0.2.2"), known=True)
    assert attempt(attempts, of_person("acme", "192.0.2.2")) == 0


def test_a_program_that_was_right_is_held_up_by_its_own_failures_only(attempts):
    assert attempt(attempts, of_program("load", HERE), right=True, known=True) == 0
    for number in range(ADDRESS_FREE):
        assert attempt(attempts, of_program(f"stranger {number}", HERE), known=True) == 0
    assert attempt(attempts, of_program("another stranger", HERE), known=True) > 0
    assert attempt(attempts, of_program("load", HERE), right=True, known=True) == 0
    for _ in range(ACCOUNT_FREE):
        attempt(attempts, of_program("load", HERE), known=True)
    assert attempt(attempts, of_program("load", HERE), right=True, known=True) > 0


def test_what_was_right_long_ago_is_forgotten(attempts, monkeypatch):
    assert attempt(attempts, of_program("load", HERE), right=True, known=True) == 0
    later = time.time() + module.FORGET_AFTER + 1
    monkeypatch.setattr(time, "time", lambda: later)
    for number in range(ADDRESS_FREE):
        attempt(attempts, of_program(f"stranger {number}", HERE), known=True)
    assert attempt(attempts, of_program("load", HERE), right=True, known=True) > 0


def test_nobody_waits_for_ever_for_others(attempts, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    stuck = [attempts.trying(of_person("acme", HERE)) for _ in range(ACCOUNT_FREE)]
    for one in stuck:
        assert one.__enter__().wait == 0
    assert attempt(attempts, of_person("acme", HERE), right=True) == 1
    for one in stuck:
        one.__exit__(None, None, None)

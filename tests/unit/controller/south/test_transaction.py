"""The network-wide commit as a state machine: every combination of answers ends, and ends right."""

from __future__ import annotations

from itertools import product

import pytest
from controller.southbound.transaction import Answer, Phase, Transaction

NAMES = ("a", "b")
ANSWERS = tuple(Answer)


def step(transaction: Transaction, answers: dict[str, Answer]) -> None:
    for device in sorted(transaction.waiting):
        transaction.report(device, answers[device], "because")


def test_all_well() -> None:
    transaction = Transaction(NAMES)
    done = dict.fromkeys(NAMES, Answer.DONE)
    step(transaction, done)
    assert transaction.phase is Phase.COMMIT
    step(transaction, done)
    transaction.probed(None)
    assert transaction.phase is Phase.DECIDE
    assert not transaction.decided
    transaction.recorded()
    step(transaction, done)
    outcome = transaction.outcome()
    assert (outcome.decided, outcome.committed, outcome.fenced, outcome.refused) == (True, set(NAMES), {}, {})
    assert not transaction.owed


@pytest.mark.parametrize("unreachable", [(), ("c",)])
@pytest.mark.parametrize("prepare", list(product(ANSWERS, repeat=2)))
def test_every_path(prepare: tuple[Answer, ...], unreachable: tuple[str, ...]) -> None:
    """Whatever devices answer: no mixture of reverted and committed, and nobody is forgotten."""
    for commit, probe, last in product(product(ANSWERS, repeat=2), (None, "no ping"), product(ANSWERS, repeat=2)):
        transaction = Transaction((*NAMES, *unreachable), unreachable)
        step(transaction, dict(zip(NAMES, prepare, strict=True)))
        touched = set(transaction.members) if transaction.phase is Phase.COMMIT else set()
        step(transaction, dict(zip(NAMES, commit, strict=True)))
        if transaction.phase is Phase.PROBE:
            transaction.probed(probe)
        if transaction.phase is Phase.DECIDE:
            transaction.recorded()
        decided = transaction.decided
        step(transaction, dict(zip(NAMES, last, strict=True)))
        outcome = transaction.outcome()
        assert outcome.decided == decided
        assert set(unreachable) <= outcome.fenced.keys()
        if decided:
            assert not outcome.refused
            # Who took part has the new configuration or is known to need it.
            assert touched <= outcome.committed | outcome.fenced.keys()
        else:
            assert not outcome.committed
        # A last word is owed only to who may still wait for one.
        assert transaction.owed <= touched & outcome.fenced.keys()


def test_one_refusal_reverts_all() -> None:
    transaction = Transaction(NAMES)
    step(transaction, dict.fromkeys(NAMES, Answer.DONE))
    step(transaction, {"a": Answer.DONE, "b": Answer.REFUSED})
    assert transaction.phase is Phase.REVERT
    # Both are told: b may hold the commit although it answered with an error.
    assert transaction.waiting == set(NAMES)
    step(transaction, {"a": Answer.DONE, "b": Answer.REFUSED})
    assert transaction.outcome().refused == {"b": "because"}
    assert transaction.outcome().reason == "b: because"


def test_who_vanishes_in_the_commit_is_owed_the_decision() -> None:
    transaction = Transaction(NAMES)
    step(transaction, dict.fromkeys(NAMES, Answer.DONE))
    step(transaction, {"a": Answer.DONE, "b": Answer.GONE})
    transaction.probed(None)
    transaction.recorded()
    assert transaction.waiting == {"a"}
    step(transaction, {"a": Answer.DONE})
    assert transaction.owed == {"b"}
    assert transaction.outcome().fenced == {"b": "because"}


def test_nobody_there() -> None:
    transaction = Transaction(NAMES, NAMES)
    assert transaction.outcome().fenced.keys() == set(NAMES)
    assert not transaction.outcome().decided


def test_out_of_turn() -> None:
    transaction = Transaction(NAMES)
    with pytest.raises(ValueError, match="not decide"):
        transaction.recorded()
    transaction.report("a", Answer.DONE)
    with pytest.raises(ValueError, match="nothing was asked of a"):
        transaction.report("a", Answer.DONE)

"""What the benchmark of impairments says of what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from perf.impairments import KINDS, told

ROUNDS = 5


def result(*, ours: float = 1.0, hand: float = 1.0, lost: float = 0.0) -> dict[str, Any]:
    """As if loss had been so many times what was asked for, and all else exact."""
    exact = {name: [kind.asked] * ROUNDS for name, kind in KINDS.items()}
    loss = KINDS["loss"].asked
    return told(exact | {"loss": [loss * ours] * ROUNDS}, exact | {"loss": [loss * hand] * ROUNDS}, [0.0, lost])


def test_every_kind_is_set_beside_netem_by_hand_and_held_to_its_bound() -> None:
    found = result()
    assert [one["name"].split()[0] for one in found["comparisons"]] == list(KINDS)
    assert {one["against"] for one in found["comparisons"]} == {"netem by hand"}
    promises = [found[f"{name}, {kind.unit} off"] for name, kind in KINDS.items()]
    assert all((one["median"], one["kept"], one["void"]) == (0, True, "") for one in promises)


@pytest.mark.parametrize(("times", "off", "percent", "kept"), [(0.95, 0.25, 5, True), (1.12, 0.6, 12, False)])
def test_what_is_too_much_or_too_little_is_off_by_as_much(times: float, off: float, percent: float, kept: bool) -> None:
    found = result(ours=times)["loss, % off"]
    assert (found["asked"], found["median"], found["percent"], found["by_hand"]) == (5, off, percent, 0)
    assert found["kept"] is kept
    assert not found["void"]


def test_a_machine_on_which_netem_by_hand_is_as_far_off_says_nothing_of_that_kind() -> None:
    found = result(ours=1.2, hand=1.2)
    assert found["loss, % off"]["void"] == "netem by hand is 1 % off (> 0.5)"
    assert not found["delay, ms off"]["void"]


def test_a_line_that_loses_by_itself_voids_all() -> None:
    found = result(lost=0.1)
    assert {found[f"{name}, {kind.unit} off"]["void"] for name, kind in KINDS.items()} == {
        "a line lost 0.1 % that had nothing"
    }

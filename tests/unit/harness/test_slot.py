"""Slots: no two living labs share one, and a dead one's is free."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from harness.host.slot import SLOTS, Slot, held, take


def test_two_labs_get_two_slots_and_a_dead_ones_is_taken_again(tmp_path: Path) -> None:
    first, holder = take(tmp_path)
    second, other = take(tmp_path)
    assert first != second
    assert held(tmp_path, first)
    os.close(holder)
    assert not held(tmp_path, first)
    assert take(tmp_path)[0] == first
    os.close(other)


def test_networks_of_slots_do_not_overlap_and_hold_two_thousand_nodes() -> None:
    networks = [Slot(index).management for index in range(SLOTS)]
    for one, other in pairwise(networks):
        assert one.broadcast_address < other.network_address
    assert Slot(0).node_address(2000) in networks[0]
    assert len({slot.device for slot in map(Slot, range(SLOTS))}) == SLOTS

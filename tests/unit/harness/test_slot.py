"""Slots: no two living labs share one, and a dead one's is free."""

from __future__ import annotations

import errno
import socket
import subprocess
from itertools import pairwise

from harness.host.slot import SLOTS, Slot, abandoned, take


def held(slot: Slot) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine:
        try:
            mine.bind(f"\0elasticlab/slot/{slot.index}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
        return False


def test_two_labs_get_two_slots_and_a_dead_ones_is_taken_again() -> None:
    first, holder = take()
    second, other = take()
    assert first != second
    assert held(first)
    holder.close()
    assert not held(first)
    again, third = take()
    assert again == first
    third.close()
    other.close()


def test_a_slot_is_held_by_whoever_inherits_it() -> None:
    slot, holder = take()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(holder.fileno(),)) as heir:
        holder.close()
        assert held(slot)
        heir.kill()
    assert not held(slot)


def test_networks_of_slots_do_not_overlap_and_hold_two_thousand_nodes() -> None:
    networks = [Slot(index).management for index in range(SLOTS)]
    for one, other in pairwise(networks):
        assert one.broadcast_address < other.network_address
    assert Slot(0).node_address(2000) in networks[0]
    assert len({slot.device for slot in map(Slot, range(SLOTS))}) == SLOTS


def test_the_interface_of_a_slot_is_left_over_when_nobody_has_the_slot() -> None:
    slot, holder = take()
    subprocess.run(["ip", "link", "add", slot.device, "type", "veth", "peer", "name", f"{slot.device}-x"], check=True)
    try:
        assert not abandoned(slot)
        holder.close()
        assert abandoned(slot)
        assert not held(slot), "looking leaves it free"
    finally:
        subprocess.run(["ip", "link", "delete", slot.device], check=True)
    assert not abandoned(slot)

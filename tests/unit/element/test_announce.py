"""Neighbours are told where an address is: what is said (RFC 5227, RFC 4861), when, and when no longer."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from element.announce import TIMES, Announcements, Place

HERE = Place("lan", 7, "02:e1:00:00:10:20", "10.1.0.1")
SIX = Place("lan", 7, "02:e1:00:00:10:20", "2001:db8::1", router=True)


def test_an_ipv4_address_is_told_by_a_request_for_itself() -> None:
    """RFC 5227, section 2.3: both addresses are the own, and there is nobody to answer."""
    own = "02e100001020" + "0a010001"
    assert HERE.frame.hex() == "ffffffffffff02e100001020" + "0806" + "0001080006040001" + own + "0" * 12 + "0a010001"


@pytest.mark.parametrize(("router", "flags"), [(True, 0xA0), (False, 0x20)])
def test_an_ipv6_address_is_told_by_an_unsolicited_advertisement(router: bool, flags: int) -> None:
    """RFC 4861, sections 4.4, 7.1.2 and 7.2.6: hop limit, flags, the link-layer address; nobody asked for it."""
    frame = replace(SIX, router=router).frame
    ether, outer, message = frame[:14], frame[14:54], frame[54:]
    assert ether.hex() == "333300000001" + "02e100001020" + "86dd"
    assert struct.unpack("!IHBB", outer[:8]) == (6 << 28, len(message), 58, 255)
    assert outer[24:] == bytes.fromhex("ff020000000000000000000000000001")
    assert message[:2] == bytes([136, 0])
    assert message[4:8] == bytes([flags, 0, 0, 0])
    assert message[8:24] == outer[8:24] == bytes.fromhex("20010db8000000000000000000000001")
    assert message[24:].hex() == "0201" + "02e100001020"
    pseudo = outer[8:] + struct.pack("!II", len(message), 58)
    total = sum(struct.unpack(f"!{len(pseudo + message) // 2}H", pseudo + message))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the checksum is wrong (RFC 1071)"


class Told:
    """What neighbours hear of what is there at a moment."""

    def __init__(self) -> None:
        self.heard: list[Place] = []
        self.announcements = Announcements(tell=self.heard.append)

    def at(self, moment: float, *places: Place) -> list[Place]:
        self.heard.clear()
        self.announcements.take(frozenset(places), moment)
        return sorted(self.heard, key=lambda place: place.address)


def test_what_is_new_is_told_a_few_times_and_then_never_again() -> None:
    told = Told()
    assert told.at(100, HERE) == [HERE]
    for after in TIMES[1:]:
        assert told.announcements.next == 100 + after
        assert told.at(99.9 + after, HERE) == []
        assert told.at(100 + after, HERE) == [HERE]
    assert told.announcements.next is None
    assert told.at(1000, HERE) == []


def test_what_is_there_already_is_not_told_with_what_is_new() -> None:
    told = Told()
    told.at(0, HERE)
    told.at(50, HERE)
    assert told.at(60, HERE, SIX) == [SIX]


@pytest.mark.parametrize("change", [{"mac": "02:00:00:00:00:01"}, {"index": 8}, {"link": "br-lan"}])
def test_what_moves_is_told_where_it_is_now_and_nowhere_else(change: dict[str, str]) -> None:
    told = Told()
    told.at(0, HERE)
    moved = replace(HERE, **change)  # type: ignore[arg-type]
    assert told.at(1, moved) == [moved]
    assert told.at(2, moved) == []
    assert told.at(3, moved) == [moved]


def test_what_has_gone_is_told_no_more_until_it_comes_back() -> None:
    """Another box has it now, or the cable is out."""
    told = Told()
    told.at(0, HERE)
    assert told.at(1) == []
    assert told.announcements.next is None
    assert told.at(2) == []
    assert told.at(30, HERE) == [HERE]

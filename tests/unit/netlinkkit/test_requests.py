"""What the kernel answers to requests, in a network of the test's own."""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator

import pytest
from netlinkkit.attributes import attribute, attributes, each, number, text
from netlinkkit.dumps import RTM_GETLINK, dump
from netlinkkit.requests import CREATE, EXCL, Refused, Request, Wire, ask

NEWLINK = 16
IFNAME, MTU, LINKINFO, INFO_KIND = 3, 4, 18, 1
IFINFO = struct.Struct("=BxHiII")


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    try:
        yield
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(before)


def bridge(name: str, mtu: int = 1400) -> Request:
    content = IFINFO.pack(0, 0, 0, 0, 0) + attribute(IFNAME, name) + attribute(MTU, mtu)
    return Request(NEWLINK, CREATE | EXCL, content + attribute(LINKINFO, attribute(INFO_KIND, "bridge")), name)


def names() -> list[str]:
    head = IFINFO.pack(0, 0, 0, 0, 0)
    return [text(attributes(message, IFINFO.size)[IFNAME]) for message in dump(RTM_GETLINK, head)]


def test_all_of_a_datagram_is_done_and_the_first_that_is_refused_is_named() -> None:
    with pytest.raises(Refused, match=r"^\[Errno 17\] a: File exists") as refused:
        ask([bridge("a"), bridge("a"), bridge("b"), bridge("a")])
    assert refused.value.errno == errno.EEXIST
    assert names() == ["lo", "a", "b"]


def test_the_kernel_says_why_in_its_own_words() -> None:
    with pytest.raises(Refused, match=re.escape("a: Invalid argument (mtu less than device minimum)")):
        ask([bridge("a", mtu=1)])


def test_what_is_forgiven_is_not_raised() -> None:
    with Wire() as wire:
        wire.ask([])
        wire.ask([bridge("a"), bridge("a")], forgive=(errno.EEXIST,))
        with pytest.raises(Refused):
            wire.ask([bridge("a"), bridge("a")], forgive=(errno.ENODEV,))


def test_attributes_are_read_as_they_were_written() -> None:
    packed = attribute(1, "name") + attribute(2, 7) + attribute(3, b"\x01\x02\x03") + attribute(2, b"")
    assert len(packed) % 4 == 0
    assert [kind for kind, _ in each(packed)] == [1, 2, 3, 2]
    found = attributes(packed)
    assert (text(found[1]), found[3], number(found[2])) == ("name", b"\x01\x02\x03", 0)
    assert (text(None), number(None)) == ("", None)

"""Fragments of what runs through a tunnel are completed by what came through it, and by nothing that came in clear."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.directly import counted, pings_heard
from tests.lab.living import living
from tests.lab.test_tracked_routes import box

pytestmark = pytest.mark.topology("boxes")

NEAR, PEER = "100.127.1.1", "100.127.1.2"

FRAGMENT = f"""
import socket, struct, sys
part, number = sys.argv[1], int(sys.argv[2])
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
echo = struct.pack("!BBHHH", 8, 0, 0, 1, number) + b"whole" * 8
echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
payload, place = (echo[:24], 0x2000) if part == "first" else (echo[24:], 24 // 8)
ends = socket.inet_aton("{PEER}") + socket.inet_aton("{NEAR}")
header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, place, 64, 1, 0) + ends
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sock.setsockopt(socket.IPPROTO_IP, 22, 1)  # IP_NODEFRAG: conntrack does not wait for the rest
sock.sendto(header + payload, ("{NEAR}", 0))
"""


@pytest.fixture
def tunnelled(lab: Lab) -> Iterator[Lab]:
    """box-2 has a tunnel to box-1, and the Internet knows where its end is."""
    with living(lab["box-1"], lab["box-2"]) as (one, two):
        two.configure(box(1, "direct"))
        one.configure(box(0, "direct"))
        wait_for("the tunnel is established", lambda: one.established("direct"), 20)
        lab["internet"].exec("ip", "route", "replace", f"{NEAR}/32", "via", "192.0.2.2")
        try:
            yield lab
        finally:
            lab["internet"].exec("ip", "route", "del", f"{NEAR}/32")


def send(lab: Lab, node: str, part: str, number: int) -> None:
    """A fragment of an echo request from the peer's end of the tunnel."""
    lab[node].exec("/opt/element/bin/python" if "box" in node else "python3", "-c", FRAGMENT, part, str(number))


@pytest.mark.parametrize("order", [("rest", "first"), ("first", "rest")])
def test_what_came_in_clear_completes_nothing(tunnelled: Lab, order: tuple[str, str]) -> None:
    lab = tunnelled
    before = pings_heard(lab, "box-1")
    for part in order:
        send(lab, "box-2", part, 1001)
    wait_for("both through the tunnel are one packet", lambda: pings_heard(lab, "box-1") == before + 1, 5)
    refused = counted(lab["box-1"], "fragment-in-clear")
    for part in order:
        send(lab, "internet" if part == "rest" else "box-2", part, 1002)
    wait_for("the one in clear is refused", lambda: counted(lab["box-1"], "fragment-in-clear") == refused + 1, 5)
    # What came through the tunnel waits for its rest still, and gets it.
    assert pings_heard(lab, "box-1") == before + 1
    send(lab, "box-2", "rest", 1002)
    wait_for("its own rest completes it", lambda: pings_heard(lab, "box-1") == before + 2, 5)

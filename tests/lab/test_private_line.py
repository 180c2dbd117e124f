"""VXLAN on a private line: in clear there, of that peer and VNI; all else is dropped and counted, there and elsewhere.

host-1 behind box-1 and host-3 behind box-2 are one segment, 10.1.0.0/24.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.lab.directly import Tree, configuration, configure, counted, ethernet, port, static

pytestmark = pytest.mark.topology("boxes")

VNI = 1020
ENDS = {"box-1": "100.126.0.1", "box-2": "100.126.2.1"}
WANS = {"box-1": ("192.0.2.2/30", "192.0.2.1"), "box-2": ("192.0.2.6/30", "192.0.2.5")}
FAR_HOST = "10.1.0.20"
_SEND = """
import socket, sys
from contextlib import suppress
own, peer, port, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), bytes.fromhex(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((own, 0))
for _ in range(3):
    with suppress(PermissionError):  # of the own filter
        s.sendto(text, (peer, port))
"""


def line(box: str) -> Tree:
    """A box whose port lan1 is bridged into VXLAN on the line."""
    own, peer = ENDS[box], next(end for name, end in ENDS.items() if name != box)
    wan, router = WANS[box]
    vxlan = {"local-address": own, "remote-address": peer, "underlay": "line", "vni": VNI}
    interfaces = [
        ethernet("wan", wan),
        ethernet("line", f"{own}/16", **{"elasticlab-interface:private-line": True}),
        ethernet("lan1", **port("br")),
        {"name": "br", "type": "iana-if-type:bridge", "elasticlab-bridge:bridge": {}},
        {
            "name": "vxlan",
            "type": "elasticlab-vxlan:vxlan",
            "elasticlab-vxlan:vxlan": vxlan,
            **port("br"),
        },
    ]
    return configuration(interfaces, [static("underlay", ("0.0.0.0/0", {"next-hop-address": router}))], [], [])


@pytest.fixture
def ends(lab: Lab) -> Iterator[Lab]:
    """Both ends of the line; host-3 is in host-1's network."""
    lab["host-3"].sh(f"ip address add {FAR_HOST}/24 dev lan")
    try:
        for box in ENDS:
            configure(lab[box], line(box))
        yield lab
    finally:
        for box in ENDS:
            configure(lab[box], {})
        lab["host-3"].sh(f"ip address del {FAR_HOST}/24 dev lan")


def test_a_segment_over_the_line_and_nothing_on_the_uplink(ends: Lab) -> None:
    with ends.capture("box-1:line") as wire, ends.capture("box-1:wan") as uplink:
        ends["host-1"].must_reach(FAR_HOST)
        assert ends["host-1"].reaches(FAR_HOST)
    assert wire.count(f"udp port 4789 and udp[12:4] = {VNI << 8}") > 0
    assert uplink.count("udp port 4789 or net 10.1.0.0/24") == 0


def test_the_ends_ping_each_other(ends: Lab) -> None:
    ends["box-1"].must_reach(ENDS["box-2"])
    ends["box-2"].must_reach(ENDS["box-1"])


def test_a_large_frame_passes(ends: Lab) -> None:
    """Hosts keep 1500: VXLAN that is longer than the line carries is cut before it and put together behind."""
    ends["host-1"].must_reach(FAR_HOST)
    ends["host-1"].exec("ping", "-n", "-c2", "-W2", "-s1472", "-M", "dont", FAR_HOST)


class TestForged:
    """What comes from the line while its other end is in a stranger's hands."""

    @pytest.fixture
    def stranger(self, ends: Lab) -> Lab:
        configure(ends["box-2"], {})
        ends["box-2"].sh("nft flush ruleset; ip link set line up")
        ends["box-2"].sh("for a in 100.126.2.1 100.126.2.9; do ip address replace $a/16 dev line; done")
        return ends

    @pytest.fixture(autouse=True)
    def restored(self, stranger: Lab) -> Iterator[None]:
        yield
        stranger["box-2"].sh("ip address flush dev line")

    def arrives(self, lab: Lab, source: str, vni: int) -> bool:
        """Whether a frame in VXLAN reaches host-1."""
        frame = "ffffffffffff" + "020000000009" + "88b5" + "5a" * 46
        vxlan = f"08000000{vni:06x}00" + frame
        with lab.capture("host-1:lan", "ether proto 0x88b5") as capture:
            lab["box-2"].exec("/opt/element/bin/python", "-c", _SEND, source, ENDS["box-1"], "4789", vxlan)
            lab["host-1"].reaches("10.1.0.1", within=0.3)  # the capture has seen what came before
        return capture.count() > 0

    def denied(self, lab: Lab) -> int:
        return counted(lab["box-1"], "private-line-denied")

    def test_the_right_one_would_pass(self, stranger: Lab) -> None:
        before = self.denied(stranger)
        assert self.arrives(stranger, ENDS["box-2"], VNI)
        assert self.denied(stranger) == before

    @pytest.mark.parametrize(("source", "vni"), [(ENDS["box-2"], VNI + 1), ("100.126.2.9", VNI)])
    def test_another_vni_or_peer_does_not(self, stranger: Lab, source: str, vni: int) -> None:
        before = self.denied(stranger)
        assert not self.arrives(stranger, source, vni)
        assert self.denied(stranger) > before

    @pytest.mark.parametrize("service", ["500", "4500", "830"])
    def test_nothing_else_is_heard(self, stranger: Lab, service: str) -> None:
        before = self.denied(stranger)
        peer = (ENDS["box-2"], ENDS["box-1"], service, "00")
        stranger["box-2"].exec("/opt/element/bin/python", "-c", _SEND, *peer)
        assert self.denied(stranger) >= before + 3

    def test_by_the_uplink_it_does_not_come(self, stranger: Lab) -> None:
        """The same packet from the same peer, by another way."""
        box = stranger["box-2"]
        box.sh("ip address add 192.0.2.6/30 dev wan; ip link set wan up; ip route add 192.0.2.0/30 via 192.0.2.5")
        try:
            before = counted(stranger["box-1"], "vxlan-in-clear")
            vxlan = f"08000000{VNI:06x}00" + "ff" * 60
            box.exec("/opt/element/bin/python", "-c", _SEND, "192.0.2.6", "192.0.2.2", "4789", vxlan)
            stranger["internet"].must_reach("192.0.2.2")
            assert counted(stranger["box-1"], "vxlan-in-clear") >= before + 3
        finally:
            box.sh("ip address del 192.0.2.6/30 dev wan")


def test_without_the_line_nothing_leaves_by_the_uplink(ends: Lab) -> None:
    """The default route would take it there."""
    ends["host-1"].must_reach(FAR_HOST)
    box = ends["box-1"]
    leaks = counted(box, "overlay-leak")
    box.sh("ip address del 100.126.0.1/16 dev line; ip address add 100.126.0.1/32 dev lo")
    try:
        with ends.capture("box-1:wan") as uplink:
            ends["host-1"].must_not_reach(FAR_HOST)
    finally:
        box.sh("ip address del 100.126.0.1/32 dev lo; ip address add 100.126.0.1/16 dev line")
    assert uplink.count("udp port 4789 or net 10.1.0.0/24") == 0
    assert counted(box, "overlay-leak") > leaks


def test_another_tunnel_does_not_leave_by_the_line(ends: Lab) -> None:
    """A VNI that is not the line's, from this box."""
    box = ends["box-1"]
    before = counted(box, "overlay-leak") + counted(box, "private-line-denied")
    with ends.capture("box-1:line") as wire:
        box.exec("/opt/element/bin/python", "-c", _SEND, *ENDS.values(), "4789", f"08000000{VNI + 1:06x}00" + "ff" * 60)
        box.exec("/opt/element/bin/python", "-c", _SEND, *ENDS.values(), "500", "00")
    assert wire.count(f"udp and not (dst port 4789 and udp[12:4] = {VNI << 8})") == 0, "the line's own may speak"
    assert counted(box, "overlay-leak") + counted(box, "private-line-denied") >= before + 6

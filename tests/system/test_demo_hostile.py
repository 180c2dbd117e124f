"""What must not pass: forged tunnels, foreign segments, and anything at all once the tunnels are gone (EV-18)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from harness.lab.encryption import from_operator
from harness.wait import wait_for
from tests.scenarios.forgery import FROM_A_BOX, dropped, mac_of

pytestmark = pytest.mark.topology("demo")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
MARK = b"forged-by-a-test"
# An Ethernet frame from a stranger to everyone on the segment: UDP from 10.2.0.66 to host-2, port 9999.
FORGED_FRAME = """
from scapy.all import Ether, IP, UDP, Raw
frame = Ether(src="02:66:66:66:66:66", dst="ff:ff:ff:ff:ff:ff") / IP(src="10.2.0.66", dst="10.2.0.10") \\
    / UDP(sport=1, dport=9999) / Raw(b"forged-by-a-test")
"""


def forged_frame(lab: Lab) -> str:
    return lab["internet"].exec("python3", "-c", FORGED_FRAME + "print(bytes(frame).hex())").strip()


@pytest.mark.parametrize(
    ("pop_address", "source"),
    [("100.127.0.1", "100.127.2.1"), ("203.0.113.2", "192.0.2.6")],
    ids=["between loopbacks", "between public addresses"],
)
def test_forged_vxlan_in_clear_is_dropped_and_counted(lab: Lab, pop_address: str, source: str) -> None:
    before = dropped(lab, "vmsr-1", "vxlan-in-clear")
    with lab.capture("host-2:lan") as branch, lab.capture("vmsr-1:wan", "udp port 4789") as wan:
        lab["internet"].exec(
            "python3",
            "-c",
            FORGED_FRAME
            + "from scapy.all import sendp, VXLAN\n"
            + f"outer = Ether(dst={mac_of(lab, 'vmsr-1', 'wan')!r}) / IP(src={source!r}, dst={pop_address!r})"
            + " / UDP(sport=4789, dport=4789) / VXLAN(vni=1020, flags=8) / frame\n"
            + "sendp(outer, iface='pop', count=5, verbose=False)",
        )
        wait_for("the forged packets to be counted", lambda: dropped(lab, "vmsr-1", "vxlan-in-clear") >= before + 5, 5)
    assert wan.count("udp port 4789") == 5, "the forgery reached the POP, so it was the POP that refused it"
    assert not branch.contains(MARK)


def test_a_foreign_vni_in_a_valid_tunnel_is_dropped_and_counted(lab: Lab) -> None:
    """Branch 1 has a valid tunnel and uses it for branch 2's segment."""
    frame = forged_frame(lab)
    before = dropped(lab, "vmsr-1", "vxlan-foreign-vni")
    with lab.capture("host-2:lan") as branch:
        lab["ucpe-1"].exec("python3", "-c", FROM_A_BOX, "100.127.1.1", "100.127.0.1", "1020", frame)
        wait_for("the foreign VNI to be counted", lambda: dropped(lab, "vmsr-1", "vxlan-foreign-vni") >= before + 5, 5)
    assert not branch.contains(MARK)


def test_the_same_frame_with_its_own_vni_does_arrive(lab: Lab) -> None:
    """The twin of the test above: what is dropped there is dropped for its VNI and not because it could never pass."""
    frame = forged_frame(lab)
    with lab.capture("host-2:lan") as branch:
        lab["vmsr-1"].exec("python3", "-c", FROM_A_BOX, "100.127.0.1", "100.127.2.1", "1020", frame)
        lab["host-2"].must_reach("10.2.0.1", 5)
    assert branch.contains(MARK)


def test_forged_gre_in_clear_is_dropped_and_counted(lab: Lab) -> None:
    before = dropped(lab, "vmsr-1", "gre-in-clear")
    lab["internet"].exec(
        "python3",
        "-c",
        FORGED_FRAME
        + "from scapy.all import sendp, GRE\n"
        + f"outer = Ether(dst={mac_of(lab, 'vmsr-1', 'wan')!r}) / IP(src='100.127.1.1', dst='100.127.0.1')"
        + " / GRE() / IP(src='10.1.0.66', dst='10.2.0.10') / UDP(dport=9999) / Raw(b'forged-by-a-test')\n"
        + "sendp(outer, iface='pop', count=5, verbose=False)",
    )
    wait_for("the forged GRE to be counted", lambda: dropped(lab, "vmsr-1", "gre-in-clear") >= before + 5, 5)


class TestFailClosed:
    """With the key exchange stopped nothing of the overlay leaves a box, in no form."""

    @pytest.fixture(params=["ucpe-1", "ucpe-2"])
    def stopped(self, lab: Lab, request: pytest.FixtureRequest) -> Iterator[str]:
        box: str = request.param
        lab[box].exec("sv", "-w", "20", "stop", "charon")
        lab[box].sh("ip xfrm state flush; ip xfrm policy flush")
        yield box
        lab[box].exec("sv", "up", "charon")
        for host, address in (("host-1", HOST_2), ("host-2", HOST_1)):
            lab[host].must_reach(address, 30)

    def test_without_charon_nothing_leaves(self, lab: Lab, stopped: str) -> None:
        host, target = (f"host-{stopped[-1]}", HOST_2 if stopped == "ucpe-1" else HOST_1)
        with lab.capture(f"{stopped}:wan") as wan:
            lab[host].run("ping", "-n", "-c5", "-i0.1", "-W0.2", "-p", MARK.hex(), target)
            lab[host].run("ping", "-n", "-c5", "-i0.1", "-W0.2", "-p", MARK.hex(), "198.51.100.80")
        silence = " or ".join(["arp", "icmp6", "(udp and (port 67 or port 68))", *from_operator(lab)])
        assert wan.frames(f"not ({silence})") == []
        assert not wan.contains(MARK)

"""EV-16: L3 uCPE sites to each other in the cloud. The three steps of the source document (Elastic VPN, section 2.3.2).

Server A is host-1 behind uCPE 1, which is behind a NAT router; server B is host-3 behind uCPE 3. The tunnel of the
document is IPsec and nothing else; with GRE inside it is the way of EV-13.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, assert_encrypted
from tests.scenarios.buying import Json, Kept, Shop, service
from tests.scenarios.forgery import mac_of
from tests.scenarios.hops import overheard
from tests.scenarios.speaking import SECRET, own_ipsec, say

pytestmark = pytest.mark.topology("scenarios")

A, GATEWAY_A = "10.1.0.10", "10.1.0.1"
B, GATEWAY_B = "10.5.0.10", "10.5.0.1"
POP, NAT_1, UCPE_3 = "203.0.113.2", "192.0.2.2", "192.0.2.10"
TUNNELLED = "ip proto gre or udp port 4789"
IN_CLEAR = f"{TUNNELLED} or net 10.0.0.0/8 or net 100.64.0.0/10"
ECHO, REPLY = f"icmp[0] = 8 and src host {A} and dst host {B}", f"icmp[0] = 0 and src host {B} and dst host {A}"
# GRE without options is 4 octets after IP's 20; in the packet inside, its protocol and its ends.
ECHO_IN_GRE = "ip proto gre and ip[22:2] = 0x0800 and ip[33] = 1 and ip[36:4] = 0x0a01000a and ip[40:4] = 0x0a05000a"


@dataclass(frozen=True)
class Ways:
    """The interfaces through which the sites' packets go on each box."""

    here: str
    """Of uCPE 1, to the vMSR."""
    back: str
    """Of the vMSR, to uCPE 1."""
    on: str
    """Of the vMSR, to uCPE 3."""
    there: str
    """Of uCPE 3, to the vMSR."""


@contextmanager
def bought(lab: Lab, encapsulation: str) -> Iterator[None]:
    """Boxes 1 and 3 are acme's, and their sites reach each other."""
    shop = Shop(lab)
    shop.give("acme", "ucpe-1", "ucpe-3")
    with shop.bought("acme", sites(shop, encapsulation=encapsulation)):
        yield


def sites(shop: Shop, **more: Json) -> Json:
    """Both sites, to each other."""
    a = {"name": "site-a", "device": shop.serial("ucpe-1"), "access": "routed", "gateway": f"{GATEWAY_A}/24", **more}
    b = {"name": "site-b", "device": shop.serial("ucpe-3"), "access": "routed", "gateway": f"{GATEWAY_B}/24", **more}
    return service("site-to-site", sites=[a, b])


def ways(lab: Lab) -> Ways:
    """By each box's own routes, in the tenant's domain."""
    return Ways(*(way(lab, *ends) for ends in (("ucpe-1", B), ("vmsr-1", A), ("vmsr-1", B), ("ucpe-3", A))))


def way(lab: Lab, box: str, target: str) -> str:
    [domain] = re.findall(r"^(\S+)", lab[box].exec("ip", "-br", "link", "show", "type", "vrf"))
    found = re.search(r" dev (\S+)", lab[box].exec("ip", "-o", "route", "get", target, "vrf", domain))
    assert found is not None
    return found[1]


class TestPlain:
    """As the document has it: the sites' own packets in IPsec."""

    @pytest.fixture
    def ordered(self, lab: Lab, kept: Kept) -> Ways:
        kept.have(lambda: bought(lab, "none"), "none")
        return ways(lab)

    def test_0_there_is_no_other_tunnel(self, lab: Lab, ordered: Ways) -> None:
        """And each site has SAs of its own, for its prefix and the other's."""
        for box in ("ucpe-1", "vmsr-1", "ucpe-3"):
            assert lab[box].exec("ip", "-o", "link", "show", "type", "gre") == ""
            assert lab[box].exec("ip", "-o", "link", "show", "type", "vxlan") == ""
        assert len({ordered.back, ordered.on}) == 2
        policies = lab["vmsr-1"].exec("ip", "xfrm", "policy", "list", "dir", "out")
        assert "src 10.5.0.0/24 dst 10.1.0.0/24" in policies
        assert "src 10.1.0.0/24 dst 10.5.0.0/24" in policies

    def test_1_the_ucpe_forwards_by_route_and_sends_it_in_ipsec_through_its_wan(self, lab: Lab, ordered: Ways) -> None:
        with (
            step("Server A sends to server B, and its uCPE into IPsec through the WAN"),
            lab.capture("host-1:lan") as access,
            overheard(lab, "ucpe-1", ordered.here) as routed,
            assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]) as wan,
        ):
            say(lab, "host-1", B)
        with step("The uCPE forwards it by its routes, in no other tunnel"):
            assert access.count(f"{ECHO} and ether dst {mac_of(lab, 'ucpe-1')} and ip[8] = 64") == 3, access.frames(
                "icmp"
            )
            assert routed.count(f"{ECHO} and ip[8] = 63") == 3, routed.frames()
            assert routed.count(TUNNELLED) == 0
        with step("On the WAN it is in IPsec"):
            assert wan.count(f"udp dst port 4500 and dst host {POP} and ip[8] > 60") >= 3
            assert wan.count(IN_CLEAR) == 0

    def test_2_the_vmsr_decrypts_it_routes_it_and_encrypts_it_for_the_far_ucpe(self, lab: Lab, ordered: Ways) -> None:
        """ "According to the outer IP route" on both ways: the Internet sees the ends of the tunnels alone."""
        with (
            lab.capture("internet:access-1") as from_a,
            overheard(lab, "vmsr-1", ordered.back) as decrypted,
            overheard(lab, "vmsr-1", ordered.on) as routed,
            lab.capture("internet:access-3") as to_b,
        ):
            say(lab, "host-1", B)
        with step("The vMSR decrypts it and routes it"):
            assert from_a.count(f"udp and src host {NAT_1} and dst host {POP} and dst port 4500") >= 3
            assert decrypted.count(f"{ECHO} and ip[8] = 63") == 3, decrypted.frames()
            assert routed.count(f"{ECHO} and ip[8] = 62") == 3, routed.frames()
            assert (decrypted.count(REPLY), routed.count(REPLY)) == (3, 3)
        with step("It encrypts it for the far uCPE"):
            assert to_b.count(f"esp and src host {POP} and dst host {UCPE_3}") >= 3
            for hop in (from_a, to_b):
                assert hop.count(IN_CLEAR) == 0
                assert not hop.contains(SECRET)

    def test_3_the_far_ucpe_decrypts_it_and_forwards_it_to_the_server(self, lab: Lab, ordered: Ways) -> None:
        with (
            overheard(lab, "ucpe-3", ordered.there) as decrypted,
            lab.capture("host-3:lan") as server,
        ):
            say(lab, "host-1", B)
        with step("The far uCPE decrypts it"):
            assert decrypted.count(f"{ECHO} and ip[8] = 62") == 3, decrypted.frames()
        with step("It forwards it to the server"):
            assert server.count(f"{ECHO} and ether src {mac_of(lab, 'ucpe-3')} and ip[8] = 61") == 3, server.frames(
                "icmp"
            )
            assert server.count(REPLY) == 3

    def test_what_is_of_neither_site_does_not_pass(self, lab: Lab, ordered: Ways) -> None:
        """Another source, and another target: the SAs are for two prefixes. Nor does it leave in clear."""
        lab["host-1"].sh("ip address add 10.1.9.10/32 dev lan")
        try:
            with lab.capture("ucpe-1:wan") as wan, lab.capture("host-3:lan") as server:
                assert not lab["host-1"].reaches(B, source="10.1.9.10")
                assert not lab["host-1"].reaches("10.77.0.1")
                assert lab["host-1"].reaches(B)
        finally:
            lab["host-1"].sh("ip address del 10.1.9.10/32 dev lan")
        assert wan.count(IN_CLEAR) == 0
        assert server.count("src host 10.1.9.10 or dst host 10.77.0.1") == 0

    def test_hosts_ipsec_of_their_own_passes(self, lab: Lab, ordered: Ways) -> None:
        hosts_speak_esp(lab, ordered)

    def test_what_is_cut_on_the_way_is_put_together_at_its_end(self, lab: Lab, ordered: Ways) -> None:
        fragments_go_on(lab)

    def test_without_charon_nothing_leaves(self, lab: Lab, ordered: Ways) -> None:
        with lab.capture("ucpe-1:wan") as wan:
            lab["ucpe-1"].sh("sv -w 15 down charon; ip xfrm state flush; ip xfrm policy flush")
            try:
                lab["host-1"].must_not_reach(B, 1)
            finally:
                lab["ucpe-1"].sh("sv up charon")
        # An answer to charon's farewell may find its port closed: that much a box may say (RFC 1122, section 3.2.2.1).
        farewell = "icmp[icmptype] == icmp-unreach and icmp[icmpcode] == 3 and icmp[30:2] == 4500"
        assert wan.count(f"{IN_CLEAR} or (icmp and not ({farewell}))") == 0
        lab["host-1"].must_reach(B, 30)


class TestGreInside:
    """With GRE inside, as by default: the same three steps."""

    @pytest.fixture
    def ordered(self, lab: Lab, kept: Kept) -> Ways:
        kept.have(lambda: bought(lab, "gre"), "gre")
        return ways(lab)

    def test_the_three_steps(self, lab: Lab, ordered: Ways) -> None:
        assert ordered == Ways("gre-vmsr-1", "gre-ucpe-1", "gre-ucpe-3", "gre-vmsr-1")
        with (
            lab.capture("host-1:lan") as access,
            overheard(lab, "ucpe-1", "ipsec-vmsr-1") as sent,
            assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]),
            overheard(lab, "vmsr-1", "ipsec-ucpe-1") as decrypted,
            overheard(lab, "vmsr-1", "gre-ucpe-1") as terminated,
            overheard(lab, "vmsr-1", "gre-ucpe-3") as routed,
            overheard(lab, "vmsr-1", "ipsec-ucpe-3") as sent_on,
            assert_encrypted(lab, "ucpe-3:wan", secrets=[SECRET]),
            overheard(lab, "ucpe-3", "ipsec-vmsr-1") as arrived,
            lab.capture("host-3:lan") as server,
        ):
            say(lab, "host-1", B)
        with step("The uCPE forwards it by its routes, and sends it in GRE in IPsec"):
            assert access.count(f"{ECHO} and ip[8] = 64") == 3
            assert sent.count(ECHO_IN_GRE) == 3, sent.frames()
        with step("The vMSR takes it out of both, forwards it, and sends it on in both"):
            assert decrypted.count(ECHO_IN_GRE) == 3, decrypted.frames()
            assert (terminated.count(f"{ECHO} and ip[8] = 63"), routed.count(f"{ECHO} and ip[8] = 62")) == (3, 3)
            assert sent_on.count(ECHO_IN_GRE) == 3, sent_on.frames()
        with step("The far uCPE takes it out of both, and delivers it"):
            assert arrived.count(ECHO_IN_GRE) == 3, arrived.frames()
            assert server.count(f"{ECHO} and ether src {mac_of(lab, 'ucpe-3')} and ip[8] = 61") == 3
            assert server.count(REPLY) == 3

    def test_hosts_ipsec_of_their_own_passes(self, lab: Lab, ordered: Ways) -> None:
        hosts_speak_esp(lab, ordered)

    def test_what_is_cut_on_the_way_is_put_together_at_its_end(self, lab: Lab, ordered: Ways) -> None:
        fragments_go_on(lab)


def hosts_speak_esp(lab: Lab, ordered: Ways) -> None:
    """ESP inside the sites' tunnels is neither the boxes' to open, nor to take for their own tunnels'."""
    with (
        own_ipsec(lab, {"host-1": A, "host-3": B}),
        overheard(lab, "vmsr-1", ordered.on) as routed,
        lab.capture("host-3:lan") as server,
    ):
        say(lab, "host-1", B)
    for hop in (routed, server):
        there, back = (hop.count(f"ip proto 50 and src host {one}") for one in (A, B))
        assert (there, back) == (3, 3), hop.frames()
        assert not hop.count("icmp")


def fragments_go_on(lab: Lab) -> None:
    """A box puts together what is for itself, and nothing else (RFC 791, section 3.2)."""
    boxes = ("ucpe-1", "vmsr-1", "ucpe-3")
    before = [put_together(lab, box) for box in boxes]
    with lab.capture("host-3:lan") as server:
        lab["host-1"].exec("ping", "-n", "-c3", "-i0.2", "-W5", "-M", "dont", "-s1472", B)
    rest = "icmp and ip[6:2] & 0x1fff != 0"
    assert server.count(f"{rest} and dst host {B}") == 3, server.frames("icmp")
    assert [put_together(lab, box) for box in boxes] == before
    for gateway, box in ((GATEWAY_A, 0), (GATEWAY_B, 2)):
        lab["host-1"].exec("ping", "-n", "-c3", "-i0.2", "-W5", "-M", "dont", "-s2952", gateway)
        assert put_together(lab, boxes[box]) == before[box] + 3


def put_together(lab: Lab, box: str) -> int:
    """How many packets it made of fragments (ipReasmOKs, RFC 4293)."""
    names, values = (line.split() for line in lab[box].sh("grep ^Ip: /proc/net/snmp").splitlines())
    return int(dict(zip(names, values, strict=True))["ReasmOKs"])


def test_afterwards_nothing_is_left(lab: Lab, kept: Kept) -> None:
    kept.end()
    with bought(lab, "none"):
        lab["host-1"].must_reach(B)
    for box in ("ucpe-1", "vmsr-1", "ucpe-3"):
        assert lab[box].exec("ip", "-o", "link", "show", "type", "xfrm") == ""
        assert lab[box].exec("ip", "-o", "link", "show", "type", "vrf") == ""
        assert " dir " not in lab[box].exec("ip", "xfrm", "policy"), "besides those of charon's sockets"
    assert not lab["host-1"].reaches(B)

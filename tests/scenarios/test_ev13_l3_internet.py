"""EV-13: L3 uCPE to the Internet.

"An L3 GRE tunnel is built between the uCPE and the vMSR to carry L3 private line services. To implement NAT traversal
and security guarantee, GRE packets are carried in the public network IPSec tunnel. [...] The vMSR terminates public
network IPSec, decapsulates enterprise tenant GRE and completes the Internet access service of the user." (Elastic VPN,
section 2.2.2)
"""

from __future__ import annotations

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, assert_encrypted
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.hops import overheard
from tests.scenarios.speaking import SECRET, does_not_come_in, page, say

pytestmark = pytest.mark.topology("scenarios")

SERVER = "198.51.100.80"
POP, NAT_1 = "203.0.113.2", "192.0.2.2"
HOST, GATEWAY = "10.1.0.10", "10.1.0.1"
ASKS, ANSWERS = "icmp[0] = 8", "icmp[0] = 0"
# GRE without options is 4 octets after IP's 20; then the inner packet, whose protocol and ends stand so far in.
IN_GRE = "ip proto gre and ip[22:2] = 0x0800 and ip[33] = 1"
FROM_HOST, TO_HOST = "ip[36:4] = 0x0a01000a", "ip[40:4] = 0x0a01000a"


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1 and 3 are acme's."""
    shop.give("acme", "ucpe-1", "ucpe-3")
    return shop


def to_internet(shop: Shop, box: str, gateway: str) -> Json:
    """A routed site with a way to the Internet."""
    return service("site-to-internet", site=shop.routed(box, gateway))


def test_packets_travel_in_gre_in_ipsec_through_a_nat(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", to_internet(acme, "ucpe-1", f"{GATEWAY}/24")):
        with (
            lab.capture("host-1:lan") as access,
            overheard(lab, "ucpe-1", "ipsec-vmsr-1") as encapsulated,
            assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]),
            lab.capture("nat-1:wan") as outside,
            overheard(lab, "vmsr-1", "ipsec-ucpe-1") as decrypted,
            overheard(lab, "vmsr-1", "gre-ucpe-1") as decapsulated,
            lab.capture("internet:pop", f"host {SERVER}") as translated,
        ):
            say(lab, "host-1", SERVER)
        with step("The site's packets are the same at its access and out of the tunnel"):
            for hop in (access, decapsulated):
                assert hop.count(f"src host {HOST} and dst host {SERVER} and {ASKS}") == 3, hop
                assert hop.count(f"dst host {HOST} and src host {SERVER} and {ANSWERS}") == 3, hop
        with step("Between uCPE and vMSR they are in GRE"):
            for tunnel in (encapsulated, decrypted):
                assert tunnel.count(f"{IN_GRE} and {FROM_HOST}") == 3, tunnel.frames()
                assert tunnel.count(f"{IN_GRE} and {TO_HOST}") == 3, tunnel.frames()
                assert tunnel.count("udp port 4789") == 0
        with step("On the Internet they are in IPsec, in UDP because of the NAT"):
            assert outside.count(f"udp and src host {NAT_1} and dst host {POP} and dst port 4500") >= 3
            assert outside.count("esp or ip proto gre or net 10.0.0.0/8 or net 100.64.0.0/10") == 0
        with step("The vMSR sends them to the Internet with its own address"):
            assert translated.count(f"src host {POP} and {ASKS}") == 3
            assert translated.count(f"dst host {POP} and {ANSWERS}") == 3
            assert translated.count("net 10.0.0.0/8") == 0


def test_the_gateway_is_on_the_box_and_ends_there(lab: Lab, acme: Shop) -> None:
    """The LAN's frames stay in the LAN: what travels are packets."""
    with acme.bought("acme", to_internet(acme, "ucpe-1", f"{GATEWAY}/24")):
        lab["host-1"].must_reach(SERVER)
        assert f"inet {GATEWAY}/24" in lab["ucpe-1"].exec("ip", "-4", "-o", "address", "show", "dev", "lan")
        assert GATEWAY not in lab["vmsr-1"].exec("ip", "-4", "-o", "address")
        lab["host-1"].exec("ip", "neigh", "flush", "all")
        with overheard(lab, "ucpe-1", "ipsec-vmsr-1") as encapsulated:
            assert lab["host-1"].reaches(GATEWAY)
        assert encapsulated.count(f"ip proto gre and ({FROM_HOST} or {TO_HOST})") == 0
        assert lab["vmsr-1"].run("ip", "-o", "link", "show", "type", "vxlan").stdout == ""


def test_the_internet_does_not_come_in_and_the_end_is_the_end(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", to_internet(acme, "ucpe-1", f"{GATEWAY}/24")):
        assert "Internet" in page(lab, "host-1", SERVER)
        for address in (HOST, GATEWAY):
            does_not_come_in(lab, address, wire="host-1:lan", box="vmsr-1", via=POP)
    with lab.capture("nat-1:wan") as outside:
        lab["host-1"].must_not_reach(SERVER)
    assert outside.count("udp port 4500 or net 10.0.0.0/8") == 0


def test_two_branches_that_only_share_the_pop_are_apart(lab: Lab, acme: Shop) -> None:
    """Each has bought the Internet, not the other."""
    with acme.bought(
        "acme",
        to_internet(acme, "ucpe-1", f"{GATEWAY}/24"),
        to_internet(acme, "ucpe-3", "10.5.0.1/24"),
    ):
        for host in ("host-1", "host-3"):
            lab[host].must_reach(SERVER)
        with lab.capture("host-3:lan") as other:
            lab["host-1"].must_not_reach("10.5.0.10")
        assert other.count(f"host {HOST}") == 0

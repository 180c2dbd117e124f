"""EV-15: L2 sites to each other. The five steps of the source document (Elastic VPN, section 2.3.1), each on the wire.

Site A is branch 3 (server A is host-3, without VLAN); site B is VLAN 30 of branch 2 (server B is host-2b).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, assert_encrypted
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.forgery import dropped, mac_of
from tests.scenarios.hops import ARP, ARP_REPLIES, ARP_REQUESTS, ECHOES, overheard
from tests.scenarios.speaking import SECRET, own_ipsec, say

pytestmark = pytest.mark.topology("scenarios")

POP, UCPE_2, UCPE_3 = "203.0.113.2", "192.0.2.6", "192.0.2.10"
A, GATEWAY_A = "10.5.0.10", "10.5.0.1"
B, GATEWAY_B = "10.3.0.10", "10.3.0.1"
IN_CLEAR = "udp port 4789 or ip proto gre or arp or net 10.0.0.0/8 or net 100.64.0.0/10"


@dataclass(frozen=True)
class Place:
    """A site as the POP has it."""

    vni: int
    mac: str
    """Of its gateway."""


@pytest.fixture
def shop_of_acme(shop: Shop) -> Shop:
    """Boxes 2 and 3 are acme's."""
    shop.give("acme", "ucpe-2", "ucpe-3")
    return shop


def sites(shop: Shop, **more: Json) -> Json:
    """Both sites, to each other; ``more`` is said of site B."""
    a = {"name": "site-a", "device": shop.serial("ucpe-3"), "access": "bridged", "gateway": f"{GATEWAY_A}/24"}
    b = {"name": "site-b", "device": shop.serial("ucpe-2"), "access": "bridged", "gateway": f"{GATEWAY_B}/24"}
    return service("site-to-site", sites=[a, {**b, "vlan": 30, **more}])


@pytest.fixture
def ordered(lab: Lab, shop_of_acme: Shop) -> Iterator[dict[str, Place]]:
    """The sites, by their gateways; nobody has spoken yet."""
    with shop_of_acme.bought("acme", sites(shop_of_acme)):
        silence(lab)
        yield places(lab)


def silence(lab: Lab) -> None:
    """Nobody knows anybody's address any more."""
    for node in ("host-3", "host-2b"):
        lab[node].exec("ip", "neigh", "flush", "all")
    for gateway in re.findall(r"vxlan-\d+", lab["vmsr-1"].exec("ip", "-o", "link", "show", "type", "vxlan")):
        lab["vmsr-1"].exec("ip", "neigh", "flush", "dev", gateway)


def places(lab: Lab) -> dict[str, Place]:
    said = lab["vmsr-1"].exec("ip", "-4", "-o", "address")
    links = lab["vmsr-1"].exec("ip", "-o", "link", "show", "type", "vxlan")
    macs = dict(re.findall(r"(vxlan-\d+):.*link/ether ([0-9a-f:]+)", links))
    return {
        address: Place(int(vni), macs[f"vxlan-{vni}"])
        for vni, address in re.findall(r"vxlan-(\d+)\s+inet ([\d.]+)/", said)
    }


class TestTheFiveSteps:
    def test_1_each_site_has_its_own_segment_and_gateways_are_on_the_vmsr(
        self, lab: Lab, ordered: dict[str, Place]
    ) -> None:
        with step("Each site has a VNI, and its gateway is on the vMSR"):
            assert set(ordered) == {GATEWAY_A, GATEWAY_B}
            assert len({place.vni for place in ordered.values()}) == 2
        with step("The uCPEs have no address of the sites"):
            for box in ("ucpe-2", "ucpe-3"):
                said = lab[box].exec("ip", "-4", "-o", "address")
                assert not re.search(r"inet 10\.", said), f"{box} has an address of a site: {said}"

    def test_2_arp_for_the_gateway_is_carried_in_vxlan_and_answered_by_the_vmsr(
        self, lab: Lab, ordered: dict[str, Place]
    ) -> None:
        gateway = ordered[GATEWAY_A]
        with (
            step("Server A asks for its gateway"),
            lab.capture("host-3:lan") as access,
            overheard(lab, "ucpe-3", "ipsec-vmsr-1") as encapsulated,
            lab.capture("ucpe-3:wan") as wan,
            overheard(lab, "vmsr-1", "ipsec-ucpe-3") as decrypted,
            overheard(lab, "vmsr-1", f"vxlan-{gateway.vni}") as terminated,
        ):
            assert lab["host-3"].reaches(GATEWAY_A)
        request = f"arp[6:2] = 1 and arp[24:4] = 0x0a050001 and ether src {mac_of(lab, 'host-3')}"
        reply = f"arp[6:2] = 2 and arp[14:4] = 0x0a050001 and ether src {gateway.mac}"
        with step("The request is a broadcast at the access and at the vMSR, whose gateway answers"):
            for hop in (access, terminated):
                assert hop.count(f"{request} and ether dst ff:ff:ff:ff:ff:ff") == 1, hop.frames("arp")
                assert hop.count(reply) == 1, hop.frames("arp")
        with step("In the tunnel both are in VXLAN, with the VNI of site A"):
            for tunnel in (encapsulated, decrypted):
                # Not what the gateway announces itself: the server is who asks.
                asked = f"{ARP_REQUESTS} and udp[54:4] = 0x0a050001 and udp[44:4] = 0x0a05000a"
                assert tunnel.inner(gateway.vni, asked) == 1, tunnel.frames()
                assert tunnel.inner(gateway.vni, f"{ARP_REPLIES} and udp[44:4] = 0x0a050001") == 1, tunnel.frames()
        with step("On the WAN there is ESP, and nothing of it in clear"):
            assert wan.count(f"esp and src host {UCPE_3} and dst host {POP}") > 0
            assert wan.count(f"({IN_CLEAR}) and not arp") == 0

    def test_3_the_service_packet_is_sent_to_the_gateway_in_vxlan_over_ipsec(
        self, lab: Lab, ordered: dict[str, Place]
    ) -> None:
        gateway = ordered[GATEWAY_A]
        with (
            step("Server A sends to server B"),
            lab.capture("host-3:lan") as access,
            overheard(lab, "ucpe-3", "ipsec-vmsr-1") as encapsulated,
            assert_encrypted(lab, "ucpe-3:wan", secrets=[SECRET]),
            lab.capture("internet:pop") as between,
        ):
            say(lab, "host-3", B)
        with step("The packet goes to the gateway's MAC address"):
            assert access.count(f"icmp[0] = 8 and dst host {B} and ether dst {gateway.mac}") == 3, access.frames("icmp")
        with step("The uCPE puts it into VXLAN in IPsec, which is all that the Internet sees"):
            assert encapsulated.inner(gateway.vni, f"{ECHOES} and udp[46:4] = 0x0a03000a") == 3
            assert between.count(f"esp and src host {UCPE_3} and dst host {POP}") >= 3
            assert not between.contains(SECRET)

    def test_4_the_vmsr_looks_up_the_route_asks_in_the_far_vni_and_sends_it_there(
        self, lab: Lab, ordered: dict[str, Place]
    ) -> None:
        """ "If there is none, it originates an ARP request": nothing was known of server B."""
        a, b = ordered[GATEWAY_A], ordered[GATEWAY_B]
        with step("The vMSR has a route from site A's segment to site B's"):
            route = lab["vmsr-1"].exec("ip", "route", "get", B, "from", A, "iif", f"vxlan-{a.vni}")
            assert f"dev vxlan-{b.vni}" in route
        with (
            step("Server A sends one packet to server B, of whom nothing is known"),
            overheard(lab, "vmsr-1", "ipsec-ucpe-3") as decrypted,
            overheard(lab, "vmsr-1", f"vxlan-{a.vni}") as recovered,
            overheard(lab, "vmsr-1", f"vxlan-{b.vni}") as egress,
            overheard(lab, "vmsr-1", "ipsec-ucpe-2") as encapsulated,
        ):
            say(lab, "host-3", B, 1)
        with step("The vMSR takes it out of IPsec and of VXLAN"):
            assert decrypted.inner(a.vni, f"{ECHOES} and udp[46:4] = 0x0a03000a") == 1
            assert recovered.count(f"icmp[0] = 8 and dst host {B} and ether dst {a.mac}") == 1
        with step("It asks for server B by ARP, gets an answer, and then sends the packet"):
            asked = egress.frames(f"arp[6:2] = 1 and arp[24:4] = 0x0a03000a and ether src {b.mac}")
            assert len(asked) == 1, egress.frames("arp")
            answered = egress.frames(f"arp[6:2] = 2 and arp[14:4] = 0x0a03000a and ether dst {b.mac}")
            assert len(answered) == 1, egress.frames("arp")
            sent = egress.frames(f"icmp[0] = 8 and src host {A} and ether src {b.mac}")
            assert len(sent) == 1, egress.frames("icmp")
            times = [float(frame.split()[0]) for frame in (*asked, *answered, *sent)]
            assert times == sorted(times), "first the question, then the answer, then the packet"
        with step("All three travel in VXLAN with the VNI of site B"):
            assert encapsulated.inner(b.vni, f"{ARP_REQUESTS} and udp[54:4] = 0x0a03000a") == 1
            assert encapsulated.inner(b.vni, f"{ARP_REPLIES} and udp[44:4] = 0x0a03000a") == 1
            assert encapsulated.inner(b.vni, f"{ECHOES} and udp[46:4] = 0x0a03000a") == 1
            assert encapsulated.inner(a.vni, "") == 0, "site A's VNI in site B's tunnel"

    def test_5_the_far_ucpe_delivers_it_in_the_local_vlan(self, lab: Lab, ordered: dict[str, Place]) -> None:
        gateway = ordered[GATEWAY_B]
        with (
            step("Server A sends to server B, through IPsec to the far uCPE"),
            assert_encrypted(lab, "ucpe-2:wan", secrets=[SECRET]),
            lab.capture("internet:access-2") as wan,
            overheard(lab, "ucpe-2", "ipsec-vmsr-1") as decrypted,
            lab.capture("ucpe-2:lan") as trunk,
            lab.capture("host-2b:lan") as server,
            lab.capture("host-2c:lan") as elsewhere,
        ):
            say(lab, "host-3", B)
        with step("The far uCPE takes it out of IPsec, and of VXLAN with the VNI of site B"):
            assert wan.count(f"esp and src host {POP} and dst host {UCPE_2}") >= 3
            assert decrypted.inner(gateway.vni, f"{ECHOES} and udp[46:4] = 0x0a03000a") == 3
        with step("It delivers it in VLAN 30 and nowhere else"):
            for hop in (trunk, server):
                delivered = f"vlan 30 and icmp and src host {A} and dst host {B}"
                assert hop.count(f"ether src {gateway.mac} and ether dst {mac_of(lab, 'host-2b')} and {delivered}") == 3
                assert hop.count(f"not vlan and host {A}") == 0
            assert elsewhere.count(f"host {A} or host {B}") == 0
        with step("The way back is the same"):
            assert lab["host-2b"].reaches(A)


def test_hosts_ipsec_of_their_own_passes(lab: Lab, ordered: dict[str, Place]) -> None:
    """What is in VXLAN may be ESP again; it is neither the boxes' to open, nor to take for their own tunnel's."""
    a, b = ordered[GATEWAY_A], ordered[GATEWAY_B]
    with (
        own_ipsec(lab, {"host-3": A, "host-2b": B}),
        overheard(lab, "vmsr-1", f"vxlan-{a.vni}") as recovered,
        overheard(lab, "vmsr-1", f"vxlan-{b.vni}") as egress,
        lab.capture("host-2b:lan") as server,
    ):
        say(lab, "host-3", B)
    for hop in (recovered, egress, server):
        there, back = (hop.count(f"{'vlan 30 and ' * (hop is server)}ip proto 50 and src host {one}") for one in (A, B))
        assert (there, back) == (3, 3), hop.frames()
        assert not hop.count("icmp")


class TestPrivateLine:
    """ "VXLAN over IPsec by default": by choice over the operator's own line, where nothing is encrypted."""

    def test_vxlan_is_in_clear_on_the_line_and_nothing_of_it_on_the_internet(
        self, lab: Lab, shop_of_acme: Shop
    ) -> None:
        with shop_of_acme.bought("acme", sites(shop_of_acme, transport="private-line")):
            silence(lab)
            b = places(lab)[GATEWAY_B]
            with lab.capture("ucpe-2:line") as line, lab.capture("internet:access-2") as internet:
                say(lab, "host-3", B)
            vni = f"udp dst port 4789 and (udp[12:4] >> 8) = {b.vni}"
            assert line.count(f"{vni} and {ECHOES}") == 6
            assert line.count(f"{vni} and {ARP}") >= 2
            assert line.contains(SECRET)
            assert line.count("net 100.126.0.0/16 and esp or udp port 500 or udp port 4500") == 0
            assert not internet.contains(SECRET)
            assert "ucpe-2" not in lab["vmsr-1"].exec("swanctl", "--list-sas"), "a tunnel that nobody needs"

    def test_the_same_vni_over_the_internet_is_dropped(self, lab: Lab, shop_of_acme: Shop) -> None:
        """In clear it is taken from the line alone."""
        with shop_of_acme.bought("acme", sites(shop_of_acme, transport="private-line")):
            silence(lab)
            b = places(lab)[GATEWAY_B]
            before = dropped(lab, "vmsr-1", "vxlan-in-clear")
            with overheard(lab, "vmsr-1", f"vxlan-{b.vni}") as inside:
                frame = f"ff ff ff ff ff ff 02 00 00 00 00 66 08 00 {'66 ' * 46}"
                payload = bytes.fromhex(f"08000000{b.vni:06x}00{frame.replace(' ', '')}").hex()
                lab["internet"].exec(
                    "python3",
                    "-c",
                    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                    f"[s.sendto(bytes.fromhex('{payload}'), ('{POP}', 4789)) for _ in range(5)]",
                )
                say(lab, "host-3", B, 1)
            assert dropped(lab, "vmsr-1", "vxlan-in-clear") == before + 5
            assert inside.count("ether src 02:00:00:00:00:66") == 0
            assert inside.count("icmp") > 0

"""EV-12: L2 uCPE to the Internet.

"Enterprise tenants access the uCPE by Port/Port+vlan; the uCPE implements VXLAN encapsulation and VNI mapping of
enterprise tenant services; the public network IPSec tunnel encapsulation is implemented at the egress of the uCPE. The
vMSR terminates public network IPSec, decapsulates enterprise tenant VXLAN and completes the Internet access service of
the user." (Elastic VPN, section 2.2.1)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, assert_encrypted
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.flows import echoes
from tests.scenarios.hops import ARP, ECHOES, IPV4, TAGGED, overheard
from tests.scenarios.speaking import SECRET, does_not_come_in, page, say

pytestmark = pytest.mark.topology("scenarios")

SERVER = "198.51.100.80"
POP, NAT_1, UCPE_2 = "203.0.113.2", "192.0.2.2", "192.0.2.6"
IN_CLEAR = "udp port 4789 or ip proto gre or net 10.0.0.0/8 or net 100.64.0.0/10"
VLAN_20 = {"name": "vlan-20", "gateway": "10.2.0.1/24", "vlan": 20}
VLAN_30 = {"name": "vlan-30", "gateway": "10.3.0.1/24", "vlan": 30}
PORT = {"name": "port", "gateway": "10.4.0.1/24", "port": "lan2"}
HOSTS = {"host-2a": "10.2.0.10", "host-2b": "10.3.0.10", "host-2c": "10.4.0.10"}


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1 and 2 are acme's; stations that have not met a gateway yet."""
    shop.give("acme", "ucpe-1", "ucpe-2")
    for host in ("host-1", "host-2a", "host-2b", "host-2c"):
        # Each order's gateway has an address of its own (the VNI's); a station would ask again after half a minute.
        shop.lab[host].exec("ip", "neigh", "flush", "all")
    return shop


def to_internet(shop: Shop, box: str, site: Json) -> Json:
    """A bridged site with a way to the Internet."""
    return service("site-to-internet", site=bridged(shop, box, site))


def bridged(shop: Shop, box: str, site: Json) -> Json:
    return {"device": shop.serial(box), "access": "bridged", **site}


def vnis(lab: Lab, gateways: dict[str, str]) -> dict[str, int]:
    """The VNI of each host, told by the POP's gateway for its subnet."""
    said = lab["vmsr-1"].exec("ip", "-4", "-o", "address")
    found = {address: int(vni) for vni, address in re.findall(r"vxlan-(\d+)\s+inet ([\d.]+)/", said)}
    return {host: found[gateway] for host, gateway in gateways.items()}


class TestByPort:
    """A port of the uCPE, with whatever is plugged in there."""

    def test_the_port_reaches_the_internet_as_the_pop(self, lab: Lab, acme: Shop) -> None:
        with acme.bought("acme", to_internet(acme, "ucpe-2", PORT)):
            with lab.capture("internet:pop", f"host {SERVER}") as outside:
                assert "Internet" in page(lab, "host-2c", SERVER)
            assert outside.count(f"tcp and src host {POP} and dst host {SERVER}") > 0
            assert outside.count("net 10.0.0.0/8") == 0
            for address in ("10.4.0.10", "10.4.0.1"):
                does_not_come_in(lab, address, wire="host-2c:lan", box="vmsr-1", via=POP)
        assert not lab["host-2c"].reaches(SERVER), "the service has ended, and the host still reaches the Internet"

    def test_frames_travel_in_vxlan_in_ipsec_through_a_nat(self, lab: Lab, acme: Shop) -> None:
        site = {"name": "behind-nat", "gateway": "10.1.0.1/24"}
        with acme.bought("acme", to_internet(acme, "ucpe-1", site)):
            vni = vnis(lab, {"host-1": "10.1.0.1"})["host-1"]
            with (
                lab.capture("host-1:lan") as access,
                overheard(lab, "ucpe-1", "ipsec-vmsr-1") as encapsulated,
                assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]),
                lab.capture("nat-1:wan") as outside,
                overheard(lab, "vmsr-1", "ipsec-ucpe-1") as decrypted,
                overheard(lab, "vmsr-1", f"vxlan-{vni}") as gateway,
                lab.capture("internet:pop", f"host {SERVER}") as translated,
            ):
                say(lab, "host-1", SERVER)
            asks, answers = f"icmp[0] = 8 and dst host {SERVER}", f"icmp[0] = 0 and src host {SERVER}"
            with step("The site's packets are the same at its port and at its gateway on the vMSR"):
                for hop in (access, gateway):
                    assert hop.count(f"src host 10.1.0.10 and {asks}") == 3, hop
                    assert hop.count(f"dst host 10.1.0.10 and {answers}") == 3, hop
            with step("Between uCPE and vMSR they are in VXLAN, with the site's VNI"):
                for tunnel in (encapsulated, decrypted):
                    assert tunnel.inner(vni, "") >= 6, tunnel.frames()
                    assert tunnel.count("not udp port 4789 and not icmp") == 0  # ICMP: the controller's probes
            with step("On the Internet they are in IPsec, in UDP because of the NAT"):
                assert outside.count(f"udp and src host {NAT_1} and dst host {POP} and dst port 4500") >= 3
                assert outside.count(f"esp or {IN_CLEAR}") == 0, "ESP is in UDP behind a NAT, and nothing is in clear"
            with step("The vMSR sends them to the Internet with its own address"):
                assert translated.count(f"src host {POP} and {asks}") == 3
                assert translated.count(f"dst host {POP} and {answers}") == 3

    def test_vlans_of_the_port_are_nobodys(self, lab: Lab, acme: Shop) -> None:
        """The service is for the untagged frames: a tagged one does not get into the VNI."""
        with acme.bought("acme", to_internet(acme, "ucpe-2", {**PORT, "port": "lan", "gateway": "10.2.0.1/24"})):
            vni = vnis(lab, {"host-2a": "10.2.0.1"})["host-2a"]
            with overheard(lab, "vmsr-1", f"vxlan-{vni}") as inside:
                lab["host-2a"].must_not_reach("10.2.0.1")  # its frames have VLAN 20
            assert inside.count("host 10.2.0.10 or (vlan and host 10.2.0.10)") == 0, inside.frames()


class TestByPortAndVlan:
    """VLANs of one port are sites of their own."""

    def test_the_vlan_reaches_the_internet_and_other_vlans_do_not(self, lab: Lab, acme: Shop) -> None:
        with acme.bought("acme", to_internet(acme, "ucpe-2", VLAN_20)):
            assert "Internet" in page(lab, "host-2a", SERVER)
            vni = vnis(lab, {"host-2a": "10.2.0.1"})["host-2a"]
            for host in ("host-2a", "host-2b"):
                lab[host].exec("ip", "neigh", "flush", "all")  # each asks for its gateway
            with (
                lab.capture("host-2a:lan") as access,
                overheard(lab, "vmsr-1", "ipsec-ucpe-2") as decrypted,
                lab.capture("ucpe-2:wan") as wan,
            ):
                say(lab, "host-2a", SERVER)
                lab["host-2b"].must_not_reach("10.3.0.1")
            assert access.count("vlan 20 and icmp") == 6
            assert decrypted.inner(vni, ECHOES) == 6
            assert decrypted.inner(vni, TAGGED) == 0
            asked = f"{ARP} and udp[44:4]"
            assert decrypted.inner(vni, f"{asked} = 0x0a02000a") > 0
            assert decrypted.inner(vni, f"{asked} = 0x0a03000a") == 0, "VLAN 30 in VLAN 20's VNI, without its tag"
            assert decrypted.count("udp dst port 4789") == decrypted.inner(vni, ""), "another VNI was used"
            assert wan.count(f"esp and src host {UCPE_2} and dst host {POP}") >= 3
            assert wan.count(IN_CLEAR) == 0


class TestSeveralVnis:
    """Three sites of one box, in one tunnel, apart."""

    @pytest.fixture
    def three(self, lab: Lab, acme: Shop) -> Iterator[dict[str, int]]:
        with acme.bought("acme", *(to_internet(acme, "ucpe-2", site) for site in (VLAN_20, VLAN_30, PORT))):
            yield vnis(lab, {"host-2a": "10.2.0.1", "host-2b": "10.3.0.1", "host-2c": "10.4.0.1"})

    def test_one_tunnel_carries_a_vni_for_each(self, lab: Lab, three: dict[str, int]) -> None:
        assert len(set(three.values())) == 3
        with overheard(lab, "vmsr-1", "ipsec-ucpe-2") as decrypted:
            for host in three:
                assert "Internet" in page(lab, host, SERVER)
        for vni in three.values():
            assert decrypted.inner(vni, IPV4) > 4
        assert decrypted.count("udp dst port 4789") == sum(decrypted.inner(vni, "") for vni in three.values())
        associations = lab["vmsr-1"].exec("swanctl", "--list-sas")
        assert associations.count("ESTABLISHED") == associations.count("INSTALLED") == 1

    def test_no_frame_crosses(self, lab: Lab, three: dict[str, int]) -> None:
        """Neither by the gateway, which the sites have no common service at, nor by a broadcast."""
        for host in three:
            say(lab, host, SERVER)
        with lab.capture("host-2b:lan") as b, lab.capture("host-2c:lan") as c:
            for address in ("10.3.0.10", "10.4.0.10", "10.2.0.99"):
                lab["host-2a"].must_not_reach(address)
            lab["host-2a"].sh("arping -c3 -w1 -I lan.20 -b 10.3.0.10 || true")
        assert c.count("host 10.2.0.10 or (vlan and host 10.2.0.10)") == 0, c.frames()
        # By the switch, which is no part of it, VLAN 20 does come to host-2b: in its own VLAN.
        assert b.count("vlan 20 and host 10.2.0.10") > 0
        assert b.count("host 10.2.0.10 or (vlan 30 and host 10.2.0.10)") == 0, b.frames()

    def test_a_site_that_comes_or_goes_costs_its_neighbours_nothing(self, lab: Lab, acme: Shop) -> None:
        """Beside them on their port, and on another; nor does a change of one's VLAN."""
        with acme.bought("acme", to_internet(acme, "ucpe-2", VLAN_20)):
            lab["host-2a"].must_reach(SERVER)
            with echoes(lab["host-2a"], SERVER, 0.01) as seen:
                elsewhere = {**VLAN_30, "vlan": 31}
                ids = acme.order("acme", to_internet(acme, "ucpe-2", elsewhere), to_internet(acme, "ucpe-2", PORT))
                lab["host-2c"].must_reach(SERVER)
                lab["host-2b"].must_not_reach(SERVER)
                acme.change("acme", ids[0], site=bridged(acme, "ucpe-2", VLAN_30))
                lab["host-2b"].must_reach(SERVER)
                acme.end("acme", ids)
                assert not lab["host-2b"].reaches(SERVER)
                assert not lab["host-2c"].reaches(SERVER)
            assert seen.steady, seen
            assert seen.lost <= 1, seen  # the last may be on its way

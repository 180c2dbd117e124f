"""EV-18: several tenants with the same addresses on shared infrastructure; no packet ever crosses.

Sixteen tenants with four sites each, all on one vMSR: the same subnets, VLANs, gateways, hosts and 5-tuples. Each sends
packets that carry its own name; whatever a tenant's wire shows with another's name on it is a breach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface
from typing import TypeVar

import pytest

from harness.lab import CommandError, Lab
from harness.lab.capture import Capture
from harness.wait import wait_for
from tests.scenarios import calls, forgery
from tests.scenarios.buying import Kept, Shop, service
from tests.scenarios.forgery import COUNT, dropped, loopback
from tests.scenarios.hops import ARP_REPLIES, IPV4, overheard

pytestmark = pytest.mark.topology("tenants")

T = TypeVar("T")
TENANTS = range(1, 17)
SITES = range(1, 5)
PAYLOAD = "Raw(b'<tenant-1>')"
STRANGER = "02:66:66:66:66:66"
# With a source: scapy knows none in a VRF, and a bridge takes no frame from nobody, so that nothing would be proven.
TO_ALL = f"Ether(src='{STRANGER}', dst='ff:ff:ff:ff:ff:ff')"
SERVER, POP = "198.51.100.80", "203.0.113.2"
ORDER_SECONDS = 180


def wan_of(lab: Lab, box: str) -> str:
    """A box's address in the Internet."""
    way = lab.topology.nodes[box].wan.ipv4
    assert way is not None, f"{box} has no address of its own"
    return str(ip_interface(way.address).ip)


def name(tenant: int) -> str:
    return f"tenant-{tenant}"


def mark(tenant: int) -> bytes:
    """What is in every packet of a tenant; none is a part of another's."""
    return f"<{name(tenant)}>".encode()


def site(tenant: int, number: int, shop: Shop) -> dict[str, object]:
    return {
        "name": f"site-{number}",
        "device": shop.serial(f"ucpe-{tenant}"),
        "access": "bridged",
        "vlan": 10 * number,
        "gateway": f"10.{number}.0.1/24",
    }


def of_all(function: Callable[[int], T]) -> dict[int, T]:
    """Done for every tenant, at once."""
    with ThreadPoolExecutor(len(TENANTS)) as pool:
        return dict(zip(TENANTS, pool.map(function, TENANTS), strict=True))


@contextmanager
def services(lab: Lab) -> Iterator[None]:
    """All sixteen order at once: their sites among each other, and the first site to the Internet."""
    shop = Shop(lab)

    def order(tenant: int) -> list[str]:
        shop.give(name(tenant), f"ucpe-{tenant}")
        sites = [site(tenant, number, shop) for number in SITES]
        return shop.order(
            name(tenant),
            service("site-to-site", sites=sites),
            service("site-to-internet", site={"name": "site-1"}),
            seconds=ORDER_SECONDS,
        )

    ids = of_all(order)
    yield
    of_all(lambda tenant: shop.end(name(tenant), ids[tenant], seconds=ORDER_SECONDS))


@pytest.fixture
def network(lab: Lab, kept: Kept) -> Lab:
    """All sixteen have what they ordered."""
    kept.have(lambda: services(lab))
    return lab


def ping_each_other(lab: Lab, tenant: int) -> None:
    """Every site of the tenant pings every other one and the first the Internet, with the tenant's name as payload."""
    pattern = mark(tenant).ljust(16, b".").hex()
    pings = [f"ping -I s{a} -n -q -c3 -i0.1 -W2 -p {pattern} 10.{b}.0.10" for a in SITES for b in SITES if a != b]
    pings.append(f"ping -I s1 -n -q -c3 -i0.1 -W2 -p {pattern} {SERVER}")
    script = "\n".join([*(f"{ping} > /dev/null || echo '{ping}' &" for ping in pings), "wait"])
    failed = lab[f"host-{tenant}"].sh(script, timeout=60)
    assert failed == "", f"{name(tenant)} got no answer: {failed}"


class TestSixteenTenants:
    def test_everybody_reaches_their_own_sites_and_nothing_crosses(self, network: Lab) -> None:
        """All ping at once; each wire carries its own tenant's name, and no other's."""
        with ExitStack() as stack:
            wires: Mapping[int, Capture] = {
                tenant: stack.enter_context(network.capture(f"host-{tenant}:lan")) for tenant in TENANTS
            }
            of_all(lambda tenant: ping_each_other(network, tenant))
        for tenant, wire in wires.items():
            seen = {other for other in TENANTS if wire.contains(mark(other))}
            assert seen == {tenant}, f"the wire of {name(tenant)} carries packets of {sorted(map(name, seen))}"

    def test_all_of_it_is_on_one_router(self, network: Lab) -> None:
        """64 VNIs, 64 gateways that are four addresses, 16 tunnels, 16 routing domains."""
        router = network["vmsr-1"]
        assert router.exec("ip", "-o", "link", "show", "type", "vxlan").count("\n") == 64
        assert router.exec("ip", "-o", "link", "show", "type", "xfrm").count("\n") == 16
        assert router.exec("ip", "-o", "link", "show", "type", "vrf").count("\n") == 16
        gateways = [line.split()[3] for line in router.exec("ip", "-4", "-o", "address").splitlines()]
        assert [gateways.count(f"10.{number}.0.1/24") for number in SITES] == [16] * 4


class TestTheSame5Tuple:
    """One source address and port, one server: sixteen connections that are told apart by nothing but the tenant."""

    def test_translation_keeps_them_apart_and_a_reset_of_one_ends_no_other(self, network: Lab) -> None:
        """While all are connected the vMSR holds one tuple sixteen times, in sixteen zones."""
        with calls.serving(network, "internet", SERVER, len(TENANTS), name(1)) as server, ThreadPoolExecutor(1) as pool:
            callers = pool.submit(of_all, lambda tenant: self.call(network, tenant))
            server.until_called()
            held = calls.tracked(network["vmsr-1"])
            server.go_on()
            callers.result()
            found = server.result()
        assert {one.first for one in held} == {("10.1.0.10", SERVER, str(calls.SOURCE_PORT), str(calls.PORT))}
        assert len({one.zone for one in held} - {0}) == len(held) == len(TENANTS), held
        assert found["reset"], "the first tenant's reset arrived"
        assert set(found["alive"]) == {name(tenant) for tenant in TENANTS if tenant != 1}
        sources = {tuple(source) for source in found["sources"]}
        assert len(sources) == len(TENANTS), "each connection has a port of its own outside"
        assert {address for address, _ in sources} == {POP}

    def call(self, lab: Lab, tenant: int) -> None:
        calls.call(lab[f"host-{tenant}"], name(tenant), "s1", "10.1.0.10", SERVER, name(1))


class TestAttacks:
    """Tenant 1 tries what it can; tenant 2, whose addresses are the same, is not to notice."""

    def vni(self, lab: Lab, tenant: int, number: int) -> int:
        """VNI of a site, as its own box has it."""
        links = json.loads(lab[f"ucpe-{tenant}"].exec("ip", "-j", "-d", "link", "show", "type", "vxlan"))
        vlans = json.loads(lab[f"ucpe-{tenant}"].exec("bridge", "-j", "vlan", "show"))
        by_port = {one["ifname"]: [vlan["vlan"] for vlan in one["vlans"]] for one in vlans}
        return next(
            int(link["linkinfo"]["info_data"]["id"]) for link in links if 10 * number in by_port[link["ifname"]]
        )

    def frame(self, lab: Lab) -> str:
        stranger = f"{TO_ALL} / IP(src='10.1.0.66', dst='10.1.0.10') / UDP(dport=9999) / {PAYLOAD}"
        return forgery.packet(lab, "host-1", stranger)

    def grown(self, lab: Lab, counter: str, before: int, by: int = COUNT, node: str = "vmsr-1") -> None:
        wait_for(f"{counter} to grow at {node}", lambda: dropped(lab, node, counter) >= before + by, 10)

    def test_a_foreign_vni_in_a_valid_tunnel_is_dropped(self, network: Lab) -> None:
        vni, frame = self.vni(network, 2, 1), self.frame(network)
        before = dropped(network, "vmsr-1", "vxlan-foreign-vni")
        source, target = loopback(network, "ucpe-1"), loopback(network, "vmsr-1")
        with network.capture("host-2:lan") as wire:
            network["ucpe-1"].exec("python3", "-c", forgery.FROM_A_BOX, source, target, str(vni), frame)
            self.grown(network, "vxlan-foreign-vni", before)
            ping_each_other(network, 2)
        assert wire.contains(mark(2))
        assert not wire.contains(mark(1))

    def test_vxlan_to_another_box_finds_no_way(self, network: Lab) -> None:
        """Boxes of two tenants have no tunnel with each other, and the vMSR passes nothing on between tunnels."""
        source, target = loopback(network, "ucpe-1"), loopback(network, "ucpe-2")
        vxlan = (
            f"UDP(dport=4789) / VXLAN(flags=8, vni={self.vni(network, 2, 1)}) / bytes.fromhex({self.frame(network)!r})"
        )
        forged = forgery.packet(network, "host-1", f"IP(src={source!r}, dst={target!r}) / {vxlan}")
        before = forgery.refused(network, "vmsr-1", "IpInAddrErrors")
        way = ("ipsec-vmsr-1", f"{source}/32", f"{target}/32")
        with (
            network.capture("host-2:lan") as wire,
            network.capture("ucpe-1:wan") as wan,
            overheard(network, "vmsr-1", "ipsec-ucpe-1") as arrived,
            overheard(network, "vmsr-1", "ipsec-ucpe-2") as passed_on,
        ):
            with forgery.admitted(network["ucpe-1"], *way):
                forgery.send_by(network["ucpe-1"], "ipsec-vmsr-1", target, forged)
            counter = "IpInAddrErrors"
            wait_for("the vMSR to refuse", lambda: forgery.refused(network, "vmsr-1", counter) >= before + COUNT, 10)
            ping_each_other(network, 2)
        strangers = f"src host {source} and dst host {target}"
        assert arrived.count(strangers) == COUNT, arrived.frames()
        assert passed_on.count() > 0
        assert passed_on.count(strangers) == 0, passed_on.frames()
        assert wire.contains(mark(2))
        assert not wire.contains(mark(1))
        assert not wan.contains(mark(1)), "it left in clear"

    SAY = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"s1")
sock.bind(("10.1.0.10", int(sys.argv[1])))
sock.sendto(b"<tenant-1>", (sys.argv[2], int(sys.argv[3])))
"""

    def test_who_answers_in_place_of_the_internet_is_not_believed(self, network: Lab) -> None:
        """Tenant 2 sends what the Internet would answer to tenant 1: the vMSR has no answer, and tenant 1 gets none."""
        near, far = 41000, 9
        answer = forgery.packet(network, "host-2", f"IP(src={SERVER!r}, dst={POP!r}) / UDP(sport={far}, dport={near})")
        before = dropped(network, "vmsr-1", "reply-imitated")
        with network.capture("host-1:lan") as wire:
            network["host-1"].exec("python3", "-c", self.SAY, str(near), SERVER, str(far))
            forgery.send_by(network["host-2"], "s1", POP, answer)
            self.grown(network, "reply-imitated", before)
            (record,) = (
                network["vmsr-1"].exec("conntrack", "-L", "-p", "udp", "--orig-port-src", str(near)).splitlines()
            )
        assert f"dst={POP} sport={far} dport={near}" in record, record
        assert "[UNREPLIED]" in record, record
        assert wire.count(f"vlan 10 and udp dst port {far}") == 1
        assert wire.count(f"vlan 10 and udp src port {far}") == 0

    @pytest.mark.parametrize("port", [500, 4500])
    def test_ike_to_another_tenants_box_is_not_from_a_port_of_the_vmsrs_own(self, network: Lab, port: int) -> None:
        victim = wan_of(network, "ucpe-2")
        with network.capture("vmsr-1:wan") as wan:
            self.forget(network, victim)
            network["host-1"].exec("python3", "-c", self.SAY, str(port), victim, str(port))
            wait_for("the vMSR to translate it", lambda: self.translated(network, victim), 10)
        found = self.translated(network, victim)
        assert [int(one) > 4500 for one in found] == [True], found
        assert wan.contains(mark(1)), "it is not sent"

    def test_esp_to_another_tenants_box_does_not_leave(self, network: Lab) -> None:
        """It has no ports: what the box sends to the vMSR would be taken for the answers to it."""
        victim = wan_of(network, "ucpe-2")
        esp = forgery.packet(network, "host-1", f"IP(src='10.1.0.10', dst={victim!r}, proto=50) / {PAYLOAD}")
        before = dropped(network, "vmsr-1", "breakout-unanswerable")
        with network.capture("vmsr-1:wan") as wan:
            self.forget(network, victim)
            forgery.send_by(network["host-1"], "s1", victim, esp)
            self.grown(network, "breakout-unanswerable", before)
            ping_each_other(network, 2)
        assert not wan.contains(mark(1))

    def forget(self, lab: Lab, box: str) -> None:
        """The vMSR's conntrack of all with a box, as after ten minutes of silence (nf_conntrack_generic_timeout)."""
        for end in ("-s", "-d"):
            lab["vmsr-1"].run("conntrack", "-D", end, box)

    def translated(self, lab: Lab, box: str) -> list[str]:
        """The vMSR's own ports, by which tenant 1's host speaks with a box."""
        listed = lab["vmsr-1"].run("conntrack", "-L", "-s", "10.1.0.10", "-d", box).stdout
        return re.findall(rf"dst={re.escape(POP)} sport=\d+ dport=(\d+)", listed)

    def test_arp_that_claims_the_gateway_is_dropped_at_the_port(self, network: Lab) -> None:
        before = dropped(network, "ucpe-1", "gateway-spoofed")
        with network.capture("host-2:lan") as wire:
            forgery.send_frames(network, "host-1", self.claim("10.1.0.1"), "lan.10")
            self.grown(network, "gateway-spoofed", before, node="ucpe-1")
            of_all(lambda tenant: ping_each_other(network, tenant))
        assert wire.contains(mark(2))
        assert wire.count(f"ether src {STRANGER}") == 0

    def claim(self, address: str) -> str:
        """ARP says to everybody that an address is a stranger's."""
        said = f"hwsrc='{STRANGER}', psrc={address!r}, hwdst='ff:ff:ff:ff:ff:ff', pdst='10.1.0.1'"
        return f"{TO_ALL} / ARP(op=2, {said})"

    def test_a_host_that_claims_all_of_anothers_addresses_gets_nothing_of_it(self, network: Lab) -> None:
        """The addresses are the same: tenant 1 announces 10.1.0.10 under a MAC of its own, which the vMSR hears, and
        tenant 2 goes on."""
        vni = self.vni(network, 1, 1)
        with network.capture("host-1:lan") as wire, overheard(network, "vmsr-1", "ipsec-ucpe-1") as tunnel:
            forgery.send_frames(network, "host-1", self.claim("10.1.0.10"), "lan.10")
            wait_for(
                "the vMSR to hear it", lambda: tunnel.inner(vni, ARP_REPLIES) >= COUNT, 10, retry_on=(CommandError,)
            )
            ping_each_other(network, 2)
        assert wire.count(f"ether src {STRANGER}") == COUNT
        assert not wire.contains(mark(2))
        network["host-1"].sh("ip neigh flush dev lan.10; ping -I s1 -n -q -c1 -W5 10.1.0.1")

    def test_a_forged_dhcp_server_is_heard_by_no_other_tenant(self, network: Lab) -> None:
        """Nor by the tenant's own other stations: it ends at the port."""
        offer = (
            f"{TO_ALL} / IP(src='10.1.0.66', dst='255.255.255.255') / UDP(sport=67, dport=68)"
            " / BOOTP(op=2, yiaddr='10.1.0.77', siaddr='10.1.0.66')"
            f" / DHCP(options=[('message-type', 'offer'), ('server_id', '10.1.0.66'), 'end']) / {PAYLOAD}"
        )
        before = dropped(network, "ucpe-1", "dhcp-imitated")
        with ExitStack() as stack:
            others = [tenant for tenant in TENANTS if tenant != 1]
            wires = {tenant: stack.enter_context(network.capture(f"host-{tenant}:lan")) for tenant in others}
            tunnel = stack.enter_context(overheard(network, "ucpe-1", "ipsec-vmsr-1"))
            forgery.send_frames(network, "host-1", offer, "lan.10")
            self.grown(network, "dhcp-imitated", before, node="ucpe-1")
            of_all(lambda tenant: ping_each_other(network, tenant))
        assert all(wire.contains(mark(tenant)) for tenant, wire in wires.items())
        heard = [name(tenant) for tenant, wire in wires.items() if wire.contains(mark(1))]
        assert heard == []
        assert tunnel.inner(self.vni(network, 1, 1), f"{IPV4} and udp[39] = 17") == 0, "DHCP went into the tunnel"

    STORM = """
import socket, sys, time
frame = b"\\xff" * 6 + bytes.fromhex("026666666666") + b"\\x88\\xb5" + b"<tenant-1>" * 10
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((sys.argv[1], 0))
begun = time.monotonic()
for _ in range(int(sys.argv[2])):
    sock.send(frame)
print(time.monotonic() - begun)
"""
    FRAMES = 50_000

    def test_a_broadcast_storm_of_one_tenant_costs_the_others_no_packet(self, network: Lab) -> None:
        before = dropped(network, "ucpe-1", "broadcast-limited")
        with network.capture("ucpe-1:wan", "udp port 4500 or esp") as wan, ThreadPoolExecutor(1) as pool:
            count = str(self.FRAMES)
            storm = pool.submit(network["host-1"].exec, "python3", "-c", self.STORM, "lan.10", count, timeout=60)
            summary = network["host-2"].exec("ping", "-I", "s1", "-n", "-q", "-c100", "-i0.02", "-W2", "10.2.0.10")
            seconds = float(storm.result())
        assert " 0% packet loss" in summary, summary
        # What the limit lets through (1000/s a port, elasticlab-bridge, and a burst) may cross the tunnel, no more.
        passed = 1000 * (seconds + 1)
        assert passed < self.FRAMES / 2, f"{self.FRAMES} frames in {seconds:.1f} s are no storm"
        self.grown(network, "broadcast-limited", before, self.FRAMES - int(passed), "ucpe-1")
        assert wan.count("") < passed + 500, "the storm went on into the tunnel"


def test_when_all_is_given_back_nothing_is_left(network: Lab, kept: Kept) -> None:
    """Sixteen orders of deletion at once."""
    kept.end()
    router = network["vmsr-1"]
    for kind in ("vxlan", "xfrm", "vrf", "bridge"):
        assert router.exec("ip", "-o", "link", "show", "type", kind) == ""
    assert router.exec("ip", "xfrm", "state") == ""
    assert "ESTABLISHED" not in router.exec("swanctl", "--list-sas")

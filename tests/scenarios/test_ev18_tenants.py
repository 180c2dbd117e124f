"""EV-18: several tenants with the same addresses on shared infrastructure; no packet ever crosses.

Sixteen tenants with four sites each, all on one vMSR: the same subnets, VLANs, gateways, hosts and 5-tuples. Each sends
packets that carry its own name; whatever a tenant's wire shows with another's name on it is a breach.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

import pytest

from harness.lab import Lab
from harness.lab.capture import Capture
from harness.wait import wait_for
from tests.scenarios.buying import Shop, service
from tests.system.test_demo_hostile import FROM_A_BOX, dropped

pytestmark = pytest.mark.topology("tenants")

T = TypeVar("T")
TENANTS = range(1, 17)
SITES = range(1, 5)
SERVER = "198.51.100.80"
ECHO = 7777
ORDER_SECONDS = 180


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


@pytest.fixture(scope="module")
def bought() -> dict[str, object]:
    """What the module has bought, so that it is bought once."""
    return {}


@pytest.fixture
def network(lab: Lab, bought: dict[str, object]) -> Lab:
    """All sixteen have ordered: their sites among each other, and the first site to the Internet."""
    shop = Shop(lab)
    if lab.name not in bought:

        def order(tenant: int) -> list[str]:
            shop.give(name(tenant), f"ucpe-{tenant}")
            sites = [site(tenant, number, shop) for number in SITES]
            return shop.order(
                name(tenant),
                service("site-to-site", sites=sites),
                service("site-to-internet", site={"name": "site-1"}),
                seconds=ORDER_SECONDS,
            )

        bought[lab.name] = of_all(order)
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
        """64 VNIs, 64 gateways that are four addresses, 16 tunnels, 16 routing domains, 16 conntrack zones."""
        router = network["vmsr-1"]
        assert router.exec("ip", "-o", "link", "show", "type", "vxlan").count("\n") == 64
        assert router.exec("ip", "-o", "link", "show", "type", "xfrm").count("\n") == 16
        assert router.exec("ip", "-o", "link", "show", "type", "vrf").count("\n") == 16
        gateways = [line.split()[3] for line in router.exec("ip", "-4", "-o", "address").splitlines()]
        assert [gateways.count(f"10.{number}.0.1/24") for number in SITES] == [16] * 4


class TestTheSame5Tuple:
    """One source address and port, one server: sixteen connections that are told apart by nothing but the tenant."""

    SERVE = f"""
import json, socket
listener = socket.create_server(("{SERVER}", {ECHO}), backlog=64)
listener.settimeout(30)
there = {{}}
while len(there) < {len(TENANTS)}:
    connection, (address, port) = listener.accept()
    connection.settimeout(15)
    stream = connection.makefile("rw", buffering=1)
    if who := stream.readline().strip():  # not of whoever only looked whether somebody listens
        there[who] = (stream, address, port)
for who, (stream, _, _) in there.items():
    print(who, file=stream)
broken, _, _ = there["tenant-1"]
try:
    assert broken.readline() == "", "tenant-1 said more"
    reset = False
except ConnectionResetError:
    reset = True
alive = {{}}
for who, (stream, address, port) in there.items():
    if who != "tenant-1":
        print("still there?", file=stream)
        alive[who] = stream.readline().strip()
print(json.dumps({{"reset": reset, "alive": alive, "from": [[a, p] for _, a, p in there.values()]}}))
"""
    CALL = f"""
import socket, struct, sys
who = sys.argv[1]
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"s1")
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("10.1.0.10", 40000))
sock.settimeout(30)
sock.connect(("{SERVER}", {ECHO}))
stream = sock.makefile("rw", buffering=1)
print(who, file=stream)
answer = stream.readline().strip()
assert answer == who, "the answer to " + (answer or "nobody")
if who == "tenant-1":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST
else:
    assert stream.readline().strip() == "still there?"
    print(who, file=stream)
    assert stream.readline() == ""
stream.close()
sock.close()
"""

    def test_translation_keeps_them_apart_and_a_reset_of_one_ends_no_other(self, network: Lab) -> None:
        server = network["internet"]
        # In the background: the agent does sixteen things at once, and the sixteen callers wait for each other.
        server.exec("tee", "/run/serve.py", stdin=self.SERVE)
        serve = "(python3 /run/serve.py > /run/serving 2>&1; mv /run/serving /run/served)"
        server.sh(f"rm -f /run/served; {serve} < /dev/null > /dev/null 2>&1 &")
        network.wait_until("internet", f"tcp:{ECHO}", 10)
        of_all(lambda tenant: network[f"host-{tenant}"].exec("python3", "-c", self.CALL, name(tenant), timeout=60))
        network.wait_until("internet", "file:/run/served", 30)
        found = json.loads(server.exec("cat", "/run/served"))
        assert found["reset"], "the first tenant's reset arrived"
        assert found["alive"] == {name(tenant): name(tenant) for tenant in TENANTS if tenant != 1}
        sources = {tuple(source) for source in found["from"]}
        assert len(sources) == len(TENANTS), "each connection has a port of its own outside"
        assert {address for address, _ in sources} == {"203.0.113.2"}


class TestAttacks:
    """Tenant 1 tries what it can; tenant 2, whose addresses are the same, is not to notice."""

    FRAME = """
from scapy.all import ARP, BOOTP, DHCP, Ether, IP, UDP, Raw
import sys
mark = b"<tenant-1>"
"""

    def send(self, lab: Lab, frames: str, interface: str = "lan.10") -> None:
        """Tenant 1's host sends frames (a Python expression of scapy) as they are."""
        script = f"{self.FRAME}\nfrom scapy.all import sendp\nsendp({frames}, iface={interface!r}, verbose=False)"
        lab["host-1"].exec("python3", "-c", script, timeout=60)

    def vni(self, lab: Lab, tenant: int, number: int) -> int:
        """VNI of a site, as its own box has it."""
        links = json.loads(lab[f"ucpe-{tenant}"].exec("ip", "-j", "-d", "link", "show", "type", "vxlan"))
        vlans = json.loads(lab[f"ucpe-{tenant}"].exec("bridge", "-j", "vlan", "show"))
        by_port = {one["ifname"]: [vlan["vlan"] for vlan in one["vlans"]] for one in vlans}
        return next(
            int(link["linkinfo"]["info_data"]["id"]) for link in links if 10 * number in by_port[link["ifname"]]
        )

    def loopback(self, lab: Lab, box: str) -> str:
        addresses = json.loads(lab[box].exec("ip", "-j", "-4", "address", "show", "dev", "overlay"))
        return str(addresses[0]["addr_info"][0]["local"])

    def frame(self, lab: Lab) -> str:
        frame = "Ether(dst='ff:ff:ff:ff:ff:ff') / IP(src='10.1.0.66', dst='10.1.0.10') / UDP(dport=9999) / Raw(mark)"
        return lab["host-1"].exec("python3", "-c", f"{self.FRAME}\nprint(bytes({frame}).hex())").strip()

    def test_a_foreign_vni_in_a_valid_tunnel_is_dropped(self, network: Lab) -> None:
        vni, frame = self.vni(network, 2, 1), self.frame(network)
        before = dropped(network, "vmsr-1", "vxlan-foreign-vni")
        source, target = self.loopback(network, "ucpe-1"), self.loopback(network, "vmsr-1")
        with network.capture("host-2:lan") as wire:
            network["ucpe-1"].exec("python3", "-c", FROM_A_BOX, source, target, str(vni), frame)
            wait_for("the foreign VNI to be counted", lambda: self.grown(network, "vxlan-foreign-vni", before, 5), 10)
        assert not wire.contains(mark(1))

    def grown(self, lab: Lab, counter: str, before: int, by: int, node: str = "vmsr-1") -> bool:
        return dropped(lab, node, counter) >= before + by

    def test_vxlan_to_another_box_finds_no_way(self, network: Lab) -> None:
        """Boxes of two tenants have no tunnel with each other, and the vMSR passes nothing on between tunnels."""
        source, target = self.loopback(network, "ucpe-1"), self.loopback(network, "ucpe-2")
        frame, vni = self.frame(network), self.vni(network, 2, 1)
        with network.capture("host-2:lan") as wire, network.capture("ucpe-1:wan") as wan:
            refused = network["ucpe-1"].run("python3", "-c", FROM_A_BOX, source, target, str(vni), frame)
            ping_each_other(network, 2)
        assert not wire.contains(mark(1))
        assert not wan.contains(mark(1)), "it left in clear"
        assert not refused.ok or wan.count(f"host {target}") == 0

    def test_arp_that_claims_the_gateway_is_dropped_at_the_port(self, network: Lab) -> None:
        before = dropped(network, "ucpe-1", "gateway-spoofed")
        claim = "ARP(op=2, hwsrc='02:66:66:66:66:66', psrc='10.1.0.1', hwdst='ff:ff:ff:ff:ff:ff', pdst='10.1.0.10')"
        with network.capture("host-2:lan") as wire:
            self.send(network, f"[Ether(src='02:66:66:66:66:66', dst='ff:ff:ff:ff:ff:ff') / {claim}] * 5")
            wait_for(
                "the claims to be counted", lambda: self.grown(network, "gateway-spoofed", before, 5, "ucpe-1"), 10
            )
            of_all(lambda tenant: ping_each_other(network, tenant))
        assert wire.count("ether src 02:66:66:66:66:66") == 0

    def test_a_host_that_claims_all_of_anothers_addresses_gets_nothing_of_it(self, network: Lab) -> None:
        """The addresses are the same: tenant 1 announces 10.1.0.10 under a MAC of its own, and tenant 2 goes on."""
        claim = "ARP(op=2, hwsrc='02:66:66:66:66:66', psrc='10.1.0.10', hwdst='ff:ff:ff:ff:ff:ff', pdst='10.1.0.1')"
        with network.capture("host-1:lan") as wire:
            self.send(network, f"[Ether(src='02:66:66:66:66:66', dst='ff:ff:ff:ff:ff:ff') / {claim}] * 5")
            ping_each_other(network, 2)
        assert not wire.contains(mark(2))
        network["host-1"].sh("ip neigh flush dev lan.10; ping -I s1 -n -q -c1 -W5 10.1.0.1")

    def test_a_forged_dhcp_server_is_heard_by_no_other_tenant(self, network: Lab) -> None:
        offer = (
            "Ether(dst='ff:ff:ff:ff:ff:ff') / IP(src='10.1.0.66', dst='255.255.255.255') / UDP(sport=67, dport=68)"
            " / BOOTP(op=2, yiaddr='10.1.0.77', siaddr='10.1.0.66')"
            " / DHCP(options=[('message-type', 'offer'), ('server_id', '10.1.0.66'), 'end']) / Raw(mark)"
        )
        with ExitStack() as stack:
            others = [tenant for tenant in TENANTS if tenant != 1]
            wires = {tenant: stack.enter_context(network.capture(f"host-{tenant}:lan")) for tenant in others}
            self.send(network, f"[{offer}] * 5")
            of_all(lambda tenant: ping_each_other(network, tenant))
        heard = [name(tenant) for tenant, wire in wires.items() if wire.contains(mark(1))]
        assert heard == []

    STORM = """
import socket, sys, time
frame = b"\\xff" * 6 + bytes.fromhex("026666666666") + b"\\x88\\xb5" + b"<tenant-1>" * 10
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((sys.argv[1], 0))
end, sent = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end and sent < 200000:
    for _ in range(100):
        sock.send(frame)
    sent += 100
print(sent)
"""

    def test_a_broadcast_storm_of_one_tenant_costs_the_others_no_packet(self, network: Lab) -> None:
        before = dropped(network, "ucpe-1", "broadcast-limited")
        with network.capture("ucpe-1:wan", "udp port 4500 or esp") as wan, ThreadPoolExecutor(1) as pool:
            begun = time.monotonic()
            storm = pool.submit(network["host-1"].exec, "python3", "-c", self.STORM, "lan.10", "3", timeout=60)
            summary = network["host-2"].exec("ping", "-I", "s1", "-n", "-q", "-c100", "-i0.02", "-W2", "10.2.0.10")
            sent, seconds = int(storm.result()), time.monotonic() - begun
        assert " 0% packet loss" in summary, summary
        assert sent > 5000 * 3, f"{sent} frames are no storm"
        assert self.grown(network, "broadcast-limited", before, sent // 2, "ucpe-1")
        # What the limit lets through (1000/s a port, elasticlab-bridge) may cross the tunnel, no more.
        assert wan.count("") < 1000 * (seconds + 1) + 2000, "the storm went on into the tunnel"


def test_when_all_is_given_back_nothing_is_left(network: Lab, bought: dict[str, object]) -> None:
    """The last test of this module: sixteen orders of deletion at once."""
    ids = bought.pop(network.name)
    assert isinstance(ids, dict)
    shop = Shop(network)
    of_all(lambda tenant: shop.end(name(tenant), ids[tenant], seconds=ORDER_SECONDS))
    router = network["vmsr-1"]
    for kind in ("vxlan", "xfrm", "vrf", "bridge"):
        assert router.exec("ip", "-o", "link", "show", "type", kind) == ""
    assert router.exec("ip", "xfrm", "state") == ""
    assert "ESTABLISHED" not in router.exec("swanctl", "--list-sas")

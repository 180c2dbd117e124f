"""DHCP and DNS for the sites: a station has its address and its names from its gateway, wherever that is.

The gateway of a routed site is on its uCPE; that of a bridged site is on the vMSR, so that DHCP travels in VXLAN.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from harness.lab.netconf import session
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.hops import IPV4, overheard

pytestmark = pytest.mark.topology("scenarios")

FORWARDER, NAME, ADDRESS = "198.51.100.80", "www.example.org", "203.0.113.99"
LAN = "urn:elasticlab:yang:elasticlab-lan"
DHCP_IN_VXLAN = f"udp dst port 4789 and {IPV4} and udp[39] = 17 and (udp[52:2] = 67 or udp[50:2] = 67)"
HOSTS = {"host-1": "lan", "host-4": "lan", "host-2a": "lan.20"}


@pytest.fixture
def stations(lab: Lab, shop: Shop) -> Iterator[Shop]:
    """Hosts that have no address of their own, and a DNS server in the Internet; all as it was afterwards."""
    shop.give("acme", "ucpe-1", "ucpe-2")
    shop.give("globex", "ucpe-4")
    looks = {name: lab[name].exec("ip", "-4", "-o", "address", "show", port).split()[3] for name, port in HOSTS.items()}
    routes = {name: lab[name].exec("ip", "route", "show", "default").strip() for name in HOSTS}
    try:
        for name, port in HOSTS.items():
            lab[name].sh(f"ip address flush dev {port}; rm -f /etc/resolv.conf")
        lab["internet"].sh(
            f"dnsmasq --conf-file=/dev/null --listen-address={FORWARDER} --bind-interfaces --no-resolv --no-hosts "
            f"--address=/{NAME}/{ADDRESS} --pid-file=/run/dns.pid"
        )
        yield shop
    finally:
        lab["internet"].sh("[ ! -e /run/dns.pid ] || kill $(cat /run/dns.pid); rm -f /run/dns.pid")
        for name, port in HOSTS.items():
            lab[name].sh(f"ip address flush dev {port}; ip address replace {looks[name]} dev {port}")
            lab[name].sh(f"ip route replace {routes[name]}; rm -f /etc/resolv.conf")


def site(shop: Shop, box: str, name: str, gateway: str, first: str, last: str, **more: Json) -> Json:
    """A site to the Internet whose stations are served."""
    place = {
        "name": name,
        "device": shop.serial(box),
        "gateway": gateway,
        "dhcp": {"start": first, "end": last},
        "dns": {"domain": "office.example", "forwarders": [FORWARDER]},
        **more,
    }
    return service("site-to-internet", site=place)


def address(lab: Lab, host: str, name: str) -> str:
    """What a station gets that calls itself so."""
    port = HOSTS[host]
    lab[host].exec("busybox", "udhcpc", "-i", port, "-n", "-q", "-t", "8", "-T", "2", "-x", f"hostname:{name}")
    return lab[host].exec("ip", "-4", "-o", "address", "show", port).split()[3].partition("/")[0]


def resolve(lab: Lab, host: str, name: str) -> str:
    """The address of a name, by the station's own resolver."""
    answer = lab[host].run("getent", "ahostsv4", name, timeout=30)
    return answer.stdout.split()[0] if answer.ok else "unknown"


def wait_for_name(lab: Lab, host: str, name: str, expected: str) -> None:
    wait_for(f"{name} at {host}", lambda: resolve(lab, host, name) == expected, 30)


async def leased(lab: Lab, box: str) -> dict[str, str]:
    """Host names by address, as the box tells them over NETCONF."""
    async with await session(lab, box) as reading:
        data = await reading.get()
    leases = data.iter(f"{{{LAN}}}lease")
    return {one.findtext(f"{{{LAN}}}address", ""): one.findtext(f"{{{LAN}}}host-name", "") for one in leases}


async def test_stations_of_a_routed_site(lab: Lab, stations: Shop) -> None:
    place = site(stations, "ucpe-1", "branch-1", "10.1.0.1/24", "10.1.0.100", "10.1.0.119", access="routed")
    with stations.bought("acme", place):
        with overheard(lab, "ucpe-1", "ipsec-vmsr-1") as tunnel:
            own = address(lab, "host-1", "pc")
            assert own.startswith("10.1.0.1")
            assert tunnel.count("ip[33] = 17 and ip[46:2] = 67") == 0, "DHCP of a routed site stays in its LAN"
        assert await leased(lab, "ucpe-1") == {own: "pc"}
        wait_for_name(lab, "host-1", "pc.office.example", own)
        with lab.capture("internet:pop") as outside:
            wait_for_name(lab, "host-1", NAME, ADDRESS)
        assert outside.count(f"udp port 53 and host {FORWARDER} and src host 203.0.113.2") > 0
        lab["host-1"].must_reach(FORWARDER)


async def test_stations_of_a_bridged_site(lab: Lab, stations: Shop) -> None:
    """The gateway is on the vMSR: DHCP travels in VXLAN, in IPsec."""
    reach = {"access": "bridged", "vlan": 20}
    place = site(stations, "ucpe-2", "branch-2", "10.2.0.1/24", "10.2.0.100", "10.2.0.119", **reach)
    with stations.bought("acme", place):
        with overheard(lab, "ucpe-2", "ipsec-vmsr-1") as tunnel:
            own = address(lab, "host-2a", "pc")
        assert own.startswith("10.2.0.1")
        assert tunnel.count(DHCP_IN_VXLAN) >= 2, tunnel.frames()
        assert await leased(lab, "vmsr-1") == {own: "pc"}
        wait_for_name(lab, "host-2a", "pc.office.example", own)
        wait_for_name(lab, "host-2a", NAME, ADDRESS)
        lab["host-2a"].must_reach(FORWARDER)


async def test_equal_names_and_addresses_of_two_tenants(lab: Lab, stations: Shop) -> None:
    """Both call their station so, and have it at the same address; each finds its own."""
    ours = site(stations, "ucpe-1", "branch-1", "10.1.0.1/24", "10.1.0.100", "10.1.0.100", access="routed")
    theirs = site(stations, "ucpe-4", "branch-4", "10.1.0.1/24", "10.1.0.100", "10.1.0.119", access="routed")
    with stations.bought("acme", ours), stations.bought("globex", theirs):
        own = {host: address(lab, host, "pc") for host in ("host-1", "host-4")}
        for host, expected in own.items():
            wait_for_name(lab, host, "pc.office.example", expected)
            wait_for_name(lab, host, NAME, ADDRESS)
        assert await leased(lab, "ucpe-1") == {own["host-1"]: "pc"}
        assert await leased(lab, "ucpe-4") == {own["host-4"]: "pc"}
    for host in own:
        assert resolve(lab, host, "pc.office.example") == "unknown"

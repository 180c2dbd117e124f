"""A station of a bridged site configures itself: router advertisements of the vMSR reach it through VXLAN.

RFC 4861 and RFC 4862 for its router and address, RFC 8106 for its DNS server. It has no IPv4, and nobody types
anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.forgery import mac_of
from tests.scenarios.hops import overheard
from tests.scenarios.stations import DOMAIN, FORWARDER, WEB, WEB_ADDRESS, made_of, newcomers, port

pytestmark = pytest.mark.topology("scenarios")

HOST, BOX = "host-2a", "ucpe-2"
GATEWAY6, SERVER6, POP6 = "2001:db8:a2::1", "2001:db8:80::80", "2001:db8:1::2"
# In VXLAN the inner packet is behind 30 octets of the outer UDP (hops.py); ICMPv6 is behind 40 of IPv6.
IN_VXLAN = "udp dst port 4789 and udp[28:2] = 0x86dd and udp[36] = 58"
SOLICITED, ADVERTISED = f"{IN_VXLAN} and udp[70] = 133", f"{IN_VXLAN} and udp[70] = 134"


@pytest.fixture
def station(lab: Lab, shop: Shop) -> Iterator[Shop]:
    """A host without any address; what it gives itself goes afterwards."""
    shop.give("acme", BOX)
    with newcomers(lab, HOST):
        try:
            yield shop
        finally:
            lab[HOST].sh(f"ip -6 address flush dev {port(HOST)} scope global; ip -6 route flush proto ra")


def site(shop: Shop) -> Json:
    place = {
        "name": "branch-2",
        "device": shop.serial(BOX),
        "access": "bridged",
        "vlan": 20,
        "gateway": "10.2.0.1/24",
        "gateway6": f"{GATEWAY6}/64",
        "dns": {"domain": DOMAIN, "forwarders": [FORWARDER]},
    }
    return service("site-to-internet", site=place)


def own_addresses(lab: Lab) -> list[str]:
    """Those that the station has made of advertised prefixes and found to be nobody else's."""
    said = json.loads(lab[HOST].exec("ip", "-j", "-6", "address", "show", "dev", port(HOST), "scope", "global"))
    found = [one for entry in said for one in entry.get("addr_info", [])]
    return [str(one["local"]) for one in found if one.get("dynamic") and not one.get("tentative")]


def test_a_station_of_a_bridged_site_configures_itself(lab: Lab, station: Shop) -> None:
    host, own = lab[HOST], port(HOST)
    with station.bought("acme", site(station)):
        with (
            lab.capture(f"{HOST}:lan") as access,
            overheard(lab, "vmsr-1", f"ipsec-{BOX}") as tunnel,
        ):
            host.sh(f"ip link set {own} down; ip link set {own} up")  # as if it was plugged in: it asks for routers
            wait_for("the station to have an address", lambda: own_addresses(lab), 30)
        assert own_addresses(lab) == [made_of(GATEWAY6, mac_of(lab, HOST, own))]
        (router,) = json.loads(host.exec("ip", "-j", "-6", "route", "show", "default"))
        assert (router["protocol"], router["gateway"][:6], router["dev"]) == ("ra", "fe80::", own)
        assert tunnel.count(SOLICITED) >= 1, tunnel.frames()
        assert tunnel.count(ADVERTISED) >= 1, tunnel.frames()
        # RFC 8106, section 5.1: type, length in units of 8 octets, reserved, lifetime (thrice the longest interval).
        server = b"\x19\x03\0\0" + (1800).to_bytes(4) + IPv6Address(GATEWAY6).packed
        assert access.contains(server), "no DNS server was advertised"
        self_made(lab)
    assert WEB_ADDRESS not in answer(lab)


def answer(lab: Lab) -> str:
    """What the gateway says of a name. drill itself would ask for 15 s."""
    return lab[HOST].run("timeout", "3", "drill", "-6", f"@{GATEWAY6}", WEB, "A").stdout


def self_made(lab: Lab) -> None:
    """What it has configured is of use: the Internet, and names, by IPv6 alone."""
    host = lab[HOST]
    with lab.capture("internet:pop", f"host {SERVER6}") as outside:
        host.must_reach(SERVER6)
    assert outside.count(f"src host {POP6}") > 0
    assert outside.count("net 2001:db8:a2::/64") == 0
    wait_for("names", lambda: WEB_ADDRESS in answer(lab), 30)

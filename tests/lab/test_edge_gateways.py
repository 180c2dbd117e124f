"""A gateway that moves: its stations use it where it is now, though they remember where it was and ask nobody.

What a station does by itself when nobody answers takes half a minute (RFC 4861, section 7.3; Linux does it for ARP,
too), and others remember for hours.
"""

from __future__ import annotations

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.edge import GATEWAY, GATEWAY_MAC, HOST, WAN, Edge, ipv6
from tests.scenarios.forgery import mac_of

pytestmark = pytest.mark.topology("edge")

GATEWAY6, HOST6 = "2001:db8:1::1", "2001:db8:1::10"
ANNOUNCED = "arp[6:2] = 1 and arp[14:4] = arp[24:4] and arp host {} and ether dst ff:ff:ff:ff:ff:ff"
ADVERTISED = f"icmp6 and ip6[40] = 136 and src host {GATEWAY6} and ether dst 33:33:00:00:00:01"


@pytest.fixture
def edge(lab: Lab) -> Edge:
    found = Edge(lab)
    found.static_hosts()
    lab["host-a"].sh(f"ip -6 address replace {HOST6}/64 dev lan nodad")
    return found


def remembered(edge: Edge) -> list[str]:
    """Where a station believes its gateway to be, by either family."""
    lines = [edge.lab["host-a"].exec("ip", "neigh", "show", address, "dev", "lan") for address in (GATEWAY, GATEWAY6)]
    return [line.split("lladdr ")[1].split()[0] if "lladdr" in line else "nowhere" for line in lines]


def test_stations_learn_where_their_gateway_has_gone(edge: Edge) -> None:
    """From the port's address to that of a bridge, and back; the port's own address changes; the cable was out. Neither
    the other tenant nor the uplink hears of it; the uplink's own address is told there."""
    edge.configure(None, ipv6(GATEWAY6))
    port, host = mac_of(edge.lab, "edge", "lan-a"), edge.lab["host-a"]
    for address in (GATEWAY, GATEWAY6):
        host.must_reach(address)
    assert remembered(edge) == [port, port]
    with edge.lab.capture("host-a:lan") as heard, edge.lab.capture("internet:lan") as outside:
        for bridged, mac in ((True, GATEWAY_MAC), (False, port)):
            edge.configure(None, ipv6(GATEWAY6), bridged=bridged)
            knows(edge, mac)
        with edge.lab.capture("far-a:lan") as routed:
            edge.box.exec("ip", "link", "set", "lan-a", "address", "02:00:00:00:00:17")
            try:
                knows(edge, "02:00:00:00:00:17")
            finally:
                edge.box.exec("ip", "link", "set", "lan-a", "address", port)
            knows(edge, port)
        # Somebody else has had the gateway's address meanwhile, as far as the station knows.
        with edge.lab.link("host-a:lan").cut():
            for address in (GATEWAY, GATEWAY6):
                host.exec(
                    "ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:18", "dev", "lan", "nud", "stale"
                )
        knows(edge, port)
    asked = (
        f"(arp[6:2] = 1 and src host {HOST}) or (icmp6 and ip6[40] = 135 and ether src {mac_of(edge.lab, 'host-a')})"
    )
    assert heard.count(asked) == 0, heard.frames(asked)
    assert heard.count(ANNOUNCED.format(GATEWAY)) >= 5
    assert heard.count(ADVERTISED) >= 5
    assert routed.count(f"arp host {GATEWAY}") == outside.count(f"arp host {GATEWAY} or host {GATEWAY6}") == 0
    assert outside.count(ANNOUNCED.format(WAN)) > 0


def knows(edge: Edge, mac: str) -> None:
    wait_for(f"the station to know its gateway at {mac}", lambda: remembered(edge) == [mac, mac], 20)

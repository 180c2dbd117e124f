"""DHCP and DNS for the sites: a station has its address and its names from its gateway, wherever that is.

The gateway of a routed site is on its uCPE; that of a bridged site is on the vMSR, so that DHCP travels in VXLAN.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.scenarios.buying import Shop
from tests.scenarios.hops import IPV4, overheard
from tests.scenarios.stations import (
    FORWARDER,
    WEB,
    WEB_ADDRESS,
    address_of,
    leased,
    newcomers,
    resolve,
    served,
    wait_for_name,
)

pytestmark = pytest.mark.topology("scenarios")

DHCP_IN_VXLAN = f"udp dst port 4789 and {IPV4} and udp[39] = 17 and (udp[52:2] = 67 or udp[50:2] = 67)"


@pytest.fixture
def stations(lab: Lab, shop: Shop) -> Iterator[Shop]:
    shop.give("acme", "ucpe-1", "ucpe-2")
    shop.give("globex", "ucpe-4")
    with newcomers(lab, "host-1", "host-4", "host-2a"):
        yield shop


async def test_stations_of_a_routed_site(lab: Lab, stations: Shop) -> None:
    place = served(stations, "ucpe-1", "branch-1", "10.1.0.1/24", "10.1.0.100", "10.1.0.119", access="routed")
    with stations.bought("acme", place):
        with overheard(lab, "ucpe-1", "ipsec-vmsr-1") as tunnel:
            own = address_of(lab, "host-1", "pc")
            assert own.startswith("10.1.0.1")
            assert tunnel.count("ip[33] = 17 and ip[46:2] = 67") == 0, "DHCP of a routed site stays in its LAN"
        assert await leased(lab, "ucpe-1") == {own: "pc"}
        wait_for_name(lab, "host-1", "pc.office.example", own)
        with lab.capture("internet:pop") as outside:
            wait_for_name(lab, "host-1", WEB, WEB_ADDRESS)
        assert outside.count(f"udp port 53 and host {FORWARDER} and src host 203.0.113.2") > 0
        lab["host-1"].must_reach(FORWARDER)


def test_names_of_the_internet_are_unknown_while_its_resolver_is_away_and_known_again(lab: Lab, stations: Shop) -> None:
    place = served(stations, "ucpe-1", "branch-1", "10.1.0.1/24", "10.1.0.100", "10.1.0.119", access="routed")
    with stations.bought("acme", place):
        own = address_of(lab, "host-1", "pc")
        wait_for_name(lab, "host-1", WEB, WEB_ADDRESS)
        with lab.faults("dns-outage", on="internet"):
            assert resolve(lab, "host-1", WEB) == "unknown"
            assert not lab["host-1"].run("timeout", "1", "drill", "-t", WEB, f"@{FORWARDER}").ok, "nor over TCP"
            assert resolve(lab, "host-1", "pc.office.example") == own, "the site's own names are its gateway's"
            lab["host-1"].must_reach(FORWARDER)
        wait_for_name(lab, "host-1", WEB, WEB_ADDRESS)
        lab["host-1"].exec("timeout", "1", "drill", "-t", WEB, f"@{FORWARDER}")


async def test_stations_of_a_bridged_site(lab: Lab, stations: Shop) -> None:
    """The gateway is on the vMSR: DHCP travels in VXLAN, in IPsec."""
    reach = {"access": "bridged", "vlan": 20}
    place = served(stations, "ucpe-2", "branch-2", "10.2.0.1/24", "10.2.0.100", "10.2.0.119", **reach)
    with stations.bought("acme", place):
        with overheard(lab, "ucpe-2", "ipsec-vmsr-1") as tunnel:
            own = address_of(lab, "host-2a", "pc")
        assert own.startswith("10.2.0.1")
        assert tunnel.count(DHCP_IN_VXLAN) >= 2, tunnel.frames()
        assert await leased(lab, "vmsr-1") == {own: "pc"}
        wait_for_name(lab, "host-2a", "pc.office.example", own)
        wait_for_name(lab, "host-2a", WEB, WEB_ADDRESS)
        lab["host-2a"].must_reach(FORWARDER)


async def test_equal_names_and_addresses_of_two_tenants(lab: Lab, stations: Shop) -> None:
    """Both call their station so, and have it at the same address; each finds its own."""
    ours = served(stations, "ucpe-1", "branch-1", "10.1.0.1/24", "10.1.0.100", "10.1.0.100", access="routed")
    theirs = served(stations, "ucpe-4", "branch-4", "10.1.0.1/24", "10.1.0.100", "10.1.0.119", access="routed")
    with stations.bought("acme", ours), stations.bought("globex", theirs):
        own = {host: address_of(lab, host, "pc") for host in ("host-1", "host-4")}
        for host, expected in own.items():
            wait_for_name(lab, host, "pc.office.example", expected)
            wait_for_name(lab, host, WEB, WEB_ADDRESS)
        assert await leased(lab, "ucpe-1") == {own["host-1"]: "pc"}
        assert await leased(lab, "ucpe-4") == {own["host-4"]: "pc"}
    for host in own:
        assert resolve(lab, host, "pc.office.example") == "unknown"

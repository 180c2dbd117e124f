"""EV-18: stations of two tenants with one name and one MAC address, whose DHCP and DNS servers are on one vMSR.

Both sites are bridged, with one gateway's address: both tenants' servers are on the POP, each in its own VRF.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab
from tests.scenarios.buying import Shop
from tests.scenarios.forgery import mac_of
from tests.scenarios.stations import (
    DOMAIN,
    WEB,
    WEB_ADDRESS,
    address_of,
    leased,
    name_of,
    newcomers,
    resolve,
    served,
    wait_for_name,
)

pytestmark = pytest.mark.topology("scenarios")

GATEWAY, NAME, MAC = "10.1.0.1/24", "pc", "02:00:00:00:00:77"
OURS, THEIRS = "10.1.0.100", "10.1.0.200"
HOSTS = {"host-1": OURS, "host-4": THEIRS}


@pytest.fixture
def stations(lab: Lab, shop: Shop) -> Iterator[Shop]:
    """A station of each tenant; to look at, they are one."""
    shop.give("acme", "ucpe-1")
    shop.give("globex", "ucpe-4")
    with alike(lab), newcomers(lab, *HOSTS):
        yield shop


@contextmanager
def alike(lab: Lab) -> Iterator[None]:
    """The hosts have one MAC address."""
    own = {host: mac_of(lab, host) for host in HOSTS}
    for host in HOSTS:
        lab[host].exec("ip", "link", "set", "lan", "address", MAC)
    try:
        yield
    finally:
        for host, mac in own.items():
            lab[host].exec("ip", "link", "set", "lan", "address", mac)


async def test_each_finds_its_own(lab: Lab, stations: Shop) -> None:
    """One address to give for each tenant, so that it is known whose server gave it."""
    ours = served(stations, "ucpe-1", "branch", GATEWAY, OURS, OURS, access="bridged")
    theirs = served(stations, "ucpe-4", "branch", GATEWAY, THEIRS, THEIRS, access="bridged")
    with stations.bought("globex", theirs):
        with stations.bought("acme", ours):
            assert lab["vmsr-1"].exec("ip", "-4", "-o", "address").count(GATEWAY) == 2, "both gateways are on the POP"
            for host, own in HOSTS.items():
                assert address_of(lab, host, NAME) == own
            assert await leased(lab, "vmsr-1") == dict.fromkeys(HOSTS.values(), NAME)
            for host, own in HOSTS.items():
                wait_for_name(lab, host, f"{NAME}.{DOMAIN}", own)
                wait_for_name(lab, host, WEB, WEB_ADDRESS)
            server = GATEWAY.partition("/")[0]
            for host, own, far in (("host-1", OURS, THEIRS), ("host-4", THEIRS, OURS)):
                assert lab[host].reaches(server, within=5)
                lab[host].must_not_reach(far)
                assert NAME in name_of(lab, host, own, server)
                assert NAME not in name_of(lab, host, far, server)
        # The end of one is not the end of the other.
        assert await leased(lab, "vmsr-1") == {THEIRS: NAME}
        assert resolve(lab, "host-4", f"{NAME}.{DOMAIN}") == THEIRS
        assert resolve(lab, "host-1", f"{NAME}.{DOMAIN}") == "unknown"

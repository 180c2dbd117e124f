"""IPv6 in a box (RFC 8344, RFC 8349): addresses, routes, translation, what neighbours may say, and what is off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.lab.directly import Tree, bridge, configuration, configure, counted, ethernet, of, port, static

pytestmark = pytest.mark.topology("boxes")

SERVER, SERVER6 = "198.51.100.80", "2001:db8:ffff::80"
HOST_2 = "2001:db8:2::10"
MAC = "02:e1:00:00:00:01"
WAN = ethernet("wan", "192.0.2.2/30", "2001:db8:f1::2/64")
UNDERLAY = (("0.0.0.0/0", {"next-hop-address": "192.0.2.1"}), ("::/0", {"next-hop-address": "2001:db8:f1::1"}))
OUT = tuple((prefix, hop | {"outgoing-interface": "wan"}) for prefix, hop in UNDERLAY)


def gateway(lan: Tree, *more: Tree, out: bool = True) -> Tree:
    """A box with a tenant's LANs and a way to the Internet."""
    routes = [static("underlay", *UNDERLAY), static("acme", *(OUT if out else ()), **of("acme"))]
    breakouts = [{"tenant": "acme", "external-interface": "wan"}] if out else []
    return configuration([WAN, lan, *more], routes, ["acme"], breakouts)


ROUTED = (
    ethernet("lan1", "10.1.0.1/24", "2001:db8:1::1/64", **of("acme")),
    ethernet("lan2", "10.2.0.1/24", "2001:db8:2::1/64", **of("acme")),
)


@pytest.fixture
def routed(lab: Lab) -> Iterator[Lab]:
    assert configure(lab["box-1"], gateway(*ROUTED)) == []
    yield lab
    configure(lab["box-1"], {})


class TestRouted:
    def test_stations_reach_each_other_and_the_gateway(self, routed: Lab) -> None:
        routed["host-1"].must_reach("2001:db8:1::1")
        routed["host-1"].must_reach(HOST_2)

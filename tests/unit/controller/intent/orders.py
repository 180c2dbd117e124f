"""Orders of every kind, by name; their trees are in golden/NAME.json."""

from __future__ import annotations

from typing import Any

from controller.intent import DeviceFacts
from yangkit import Tree

from tests.unit.controller.intent.conftest import INVENTORY, order, site, vpn

DEVICES: dict[str, DeviceFacts] = dict(INVENTORY)


def slaac() -> Tree:
    """ip-connection of a site whose stations make IPv6 addresses."""
    gateway = {"provider-address": "2001:db8:1::1"}
    return {"ipv6": {"address-allocation-type": "ietf-l3vpn-svc:slaac", "elasticlab-access:slaac": gateway}}


def static6() -> Tree:
    """ip-connection of a site whose stations are given IPv6 addresses by people."""
    gateway = {"provider-address": "2001:db8:2::1", "prefix-length": 64}
    return {"ipv6": {"address-allocation-type": "ietf-l3vpn-svc:static-address", "addresses": gateway}}


def dhcp(address: str, length: int, **assign: Any) -> Tree:
    """ip-connection of a site whose gateway gives addresses."""
    pool = {"provider-address": address, "prefix-length": length, **assign}
    return {"ipv4": {"address-allocation-type": "ietf-l3vpn-svc:provider-dhcp", "provider-dhcp": pool}}


def explicit(first: str, last: str) -> Tree:
    """One range of addresses."""
    group = {"group-id": "1", "start-address": first, "end-address": last}
    return {"customer-addresses": {"address-group": [group]}}


def several_sites() -> Tree:
    """Four bridged sites and a routed one on a box: two VLANs and the untagged frames of a port, a port alone.

    And one elsewhere.
    """
    return order(
        [vpn("internet", internet=True), vpn("between")],
        [
            site("a-routed", "ucpe-1", "10.1.0.1/24", "internet"),
            site("b-ten", "ucpe-1", "10.2.0.1/24", "internet", mode="bridged", port="lan2", vlan=10),
            site("c-twenty", "ucpe-1", "10.3.0.1/24", "between", mode="bridged", port="lan2", vlan=20),
            site("d-untagged", "ucpe-1", "10.4.0.1/24", "internet", mode="bridged", port="lan2"),
            site("e-alone", "ucpe-1", "10.5.0.1/24", "between", "internet", mode="bridged", port="lan3"),
            site("f-far", "ucpe-2", "10.6.0.1/24", "between"),
        ],
    )


def plain_to_internet() -> Tree:
    """Plain IPsec, everything goes to the POP; a bridged site on the same box."""
    return order(
        [vpn("internet", internet=True)],
        [
            site("acme.plain", "ucpe-1", "10.1.0.1/24", "internet", encapsulation="none"),
            site("acme.lan2", "ucpe-1", "10.2.0.1/24", "internet", mode="bridged", port="lan2"),
        ],
    )


def plain_between() -> Tree:
    """Plain IPsec between sites, without the Internet: the prefixes of the others are the selectors."""
    return order(
        [vpn("between")],
        [
            site("one", "ucpe-1", "10.1.0.1/24", "between", encapsulation="none", ip=slaac()),
            site("two", "ucpe-2", "10.2.0.1/24", "between", encapsulation="none", ip=static6()),
        ],
    )


def private_line() -> Tree:
    """A site on the operator's line beside one in the tunnel; another box has the line alone."""
    return order(
        [vpn("between")],
        [
            site("line", "ucpe-1", "10.1.0.1/24", "between", mode="bridged", transport="private-line"),
            site("tunnel", "ucpe-1", "10.2.0.1/24", "between", mode="bridged", port="lan2"),
            site("alone", "ucpe-2", "10.3.0.1/24", "between", mode="bridged", vlan=9, transport="private-line"),
        ],
    )


def local_internet() -> Tree:
    """By rules at the site or at the POP; the other site all at its own uplink."""
    rules = [
        {"name": "voice", "matches": {"dscp": 46}, "action": "pop"},
        {
            "name": "web",
            "matches": {"protocol": 6, "destination-port": {"lower-port": 443}, "destination-prefix": "192.0.2.0/24"},
            "action": "local",
        },
    ]
    return order(
        [vpn("internet", internet=True), vpn("between")],
        [
            site(
                "one",
                "ucpe-1",
                "10.1.0.1/24",
                "between",
                "internet",
                **{"local-internet": {"rule": rules, "default": "pop"}},
            ),
            site("two", "ucpe-2", "10.2.0.1/24", "between", **{"local-internet": {}}),
        ],
    )


def stations() -> Tree:
    """DHCP, DNS and IPv6 at whoever has the gateway."""
    one = dhcp("10.1.0.1", 24, **explicit("10.1.0.100", "10.1.0.199")) | slaac()
    two = dhcp("10.2.0.1", 24, **{"number-of-dynamic-address": 50}) | static6()
    return order(
        [vpn("internet", internet=True)],
        [
            site(
                "one",
                "ucpe-1",
                "10.1.0.1/24",
                "internet",
                ip=one,
                dns={"domain": "one.example", "forwarder": ["192.0.2.53"]},
            ),
            site("two", "ucpe-2", "10.2.0.1/24", "internet", mode="bridged", ip=two, dns={}),
        ],
    )


ORDERS = {
    made.__name__.replace("_", "-"): made
    for made in (several_sites, plain_to_internet, plain_between, private_line, local_internet, stations)
}

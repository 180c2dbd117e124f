"""What a site cannot be is refused with its place and a remedy; beside each, what it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from controller.intent import read
from yangkit import ApplyError, Tree
from yangkit.paths import parse

from tests.unit.controller.intent import orders

ROOT = "ietf-l3vpn-svc:l3vpn-svc"
UNSUPPORTED, INVALID = "operation-not-supported", "invalid-value"


def access(tree: Tree, name: str) -> Tree:
    """The access of a site."""
    one = next(one for one in tree[ROOT]["sites"]["site"] if one["site-id"] == name)
    found: Tree = one["site-network-accesses"]["site-network-access"][0]
    return found


def box(tree: Tree, name: str, **leaves: Any) -> None:
    """Say this of a site's access; None takes a leaf away."""
    found = access(tree, name)["elasticlab-access:access"]
    for leaf, value in leaves.items():
        if value is None:
            found.pop(leaf.replace("_", "-"), None)
        else:
            found[leaf.replace("_", "-")] = value


def use(tree: Tree, name: str, device: str) -> None:
    """Put a site on another box."""
    box(tree, name, device=device)
    access(tree, name)["device-reference"] = device
    one = next(one for one in tree[ROOT]["sites"]["site"] if one["site-id"] == name)
    one["devices"]["device"][0]["device-id"] = device


def ip(tree: Tree, name: str, family: str, **leaves: Any) -> None:
    """Say this of a site's addresses."""
    connection = access(tree, name)["ip-connection"][family]
    (holder,) = (key for key in connection if key != "address-allocation-type")
    connection[holder].update({leaf.replace("_", "-"): value for leaf, value in leaves.items()})


def pool(tree: Tree, *groups: tuple[str | None, str | None]) -> None:
    """The ranges of the first site's DHCP."""
    entries = [
        {"group-id": str(n), **{k: v for k, v in (("start-address", first), ("end-address", last)) if v}}
        for n, (first, last) in enumerate(groups)
    ]
    ip(tree, "one", "ipv4", customer_addresses={"address-group": entries})


def move(tree: Tree, vpn: str) -> None:
    """The VPN is another tenant's."""
    next(v for v in tree[ROOT]["vpn-services"]["vpn-service"] if v["vpn-id"] == vpn)["customer-name"] = "other"


Change = Callable[[Tree], Any]
# Which order, what is wrong with it, the error-tag, the end of its path, a word of the message; what would be right.
WRONG: dict[str, tuple[str, Change, str, str, str, Change]] = {
    "VLAN twice": (
        "several-sites",
        lambda t: box(t, "c-twenty", vlan=10),
        INVALID,
        "access/vlan",
        "VLAN 10 of port 'lan2' belong to site 'b-ten'",
        lambda t: box(t, "c-twenty", vlan=11),
    ),
    "untagged twice": (
        "several-sites",
        lambda t: box(t, "e-alone", port="lan2"),
        INVALID,
        "access/port",
        "untagged frames of port 'lan2'",
        lambda t: box(t, "e-alone", port="lan2", vlan=30),
    ),
    "routed and bridged": (
        "several-sites",
        lambda t: box(t, "e-alone", port="lan"),
        INVALID,
        "access/port",
        "used by the routed site",
        lambda t: box(t, "e-alone", port="lan9"),
    ),
    "VLAN beside routed": (
        "several-sites",
        lambda t: box(t, "c-twenty", port="lan"),
        INVALID,
        "access/port",
        "another port",
        lambda t: box(t, "c-twenty", port="lan3"),
    ),
    "second routed": (
        "several-sites",
        lambda t: box(t, "e-alone", mode="routed"),
        INVALID,
        "access/mode",
        "routed site 'a-routed' already",
        lambda t: (box(t, "e-alone", mode="routed"), use(t, "e-alone", "ucpe-9")),
    ),
    "other tenant": (
        "private-line",
        lambda t: (
            t[ROOT]["vpn-services"]["vpn-service"].append(orders.vpn("theirs", "other", internet=True)),
            access(t, "tunnel").update({"vpn-attachment": {"vpn-id": "theirs"}}),
        ),
        INVALID,
        "access/device",
        "serves another tenant",
        lambda t: box(t, "tunnel", port="lan3"),
    ),
    "GRE bridged": (
        "several-sites",
        lambda t: box(t, "e-alone", encapsulation="gre"),
        UNSUPPORTED,
        "access/encapsulation",
        "give vxlan",
        lambda t: box(t, "e-alone", encapsulation="vxlan"),
    ),
    "VXLAN routed": (
        "several-sites",
        lambda t: box(t, "a-routed", encapsulation="vxlan"),
        UNSUPPORTED,
        "access/encapsulation",
        "gre or none",
        lambda t: box(t, "a-routed", encapsulation="gre"),
    ),
    "routed line": (
        "private-line",
        lambda t: box(t, "alone", mode="routed", vlan=None),
        UNSUPPORTED,
        "access/transport",
        "bridged",
        lambda t: box(t, "alone", mode="routed", vlan=None, transport="ipsec"),
    ),
    "MTU of plain": (
        "plain-between",
        lambda t: access(t, "one")["service"].update({"svc-mtu": 1439}),
        UNSUPPORTED,
        "svc-mtu",
        "1438",
        lambda t: access(t, "one")["service"].update({"svc-mtu": 1438}),
    ),
    "local and bridged": (
        "several-sites",
        lambda t: box(t, "e-alone", local_internet={}),
        UNSUPPORTED,
        "access/local-internet",
        "at the POP",
        lambda t: box(t, "a-routed", local_internet={}),
    ),
    "default pop without a way": (
        "local-internet",
        lambda t: box(t, "two", local_internet={"default": "pop"}),
        INVALID,
        "local-internet/default",
        "cloud-access",
        lambda t: box(t, "one", local_internet={"default": "pop"}),
    ),
    "rule pop without a way": (
        "local-internet",
        lambda t: box(t, "two", local_internet={"rule": [{"name": "x", "action": "pop"}]}),
        INVALID,
        "rule[name='x']/action",
        "cloud-access",
        lambda t: box(t, "two", local_internet={"rule": [{"name": "x", "action": "local"}]}),
    ),
    "two ranges": (
        "stations",
        lambda t: pool(t, ("10.1.0.10", "10.1.0.20"), ("10.1.0.30", "10.1.0.40")),
        UNSUPPORTED,
        "customer-addresses",
        "one address-group",
        lambda t: pool(t, ("10.1.0.10", "10.1.0.40")),
    ),
    "empty range": (
        "stations",
        lambda t: pool(t, (None, None)),
        INVALID,
        "address-group[group-id='0']",
        "start-address",
        lambda t: pool(t, ("10.1.0.9", None)),
    ),
    "range goes down": (
        "stations",
        lambda t: pool(t, ("10.1.0.20", "10.1.0.10")),
        INVALID,
        "customer-addresses",
        "exchange",
        lambda t: pool(t, ("10.1.0.10", "10.1.0.20")),
    ),
    "range elsewhere": (
        "stations",
        lambda t: pool(t, ("10.1.0.20", "10.1.1.10")),
        INVALID,
        "customer-addresses",
        "not all hosts",
        lambda t: pool(t, ("10.1.0.20", "10.1.0.254")),
    ),
    "gateway in range": (
        "stations",
        lambda t: pool(t, ("10.1.0.1", "10.1.0.10")),
        INVALID,
        "customer-addresses",
        "the gateway's",
        lambda t: pool(t, ("10.1.0.2", "10.1.0.10")),
    ),
    "no room": (
        "stations",
        lambda t: ip(t, "two", "ipv4", number_of_dynamic_address=254),
        INVALID,
        "number-of-dynamic-address",
        "no room for 254",
        lambda t: ip(t, "two", "ipv4", number_of_dynamic_address=253),
    ),
    "no address": (
        "stations",
        lambda t: ip(t, "two", "ipv4", number_of_dynamic_address=0),
        INVALID,
        "number-of-dynamic-address",
        "1 or more",
        lambda t: ip(t, "two", "ipv4", number_of_dynamic_address=1),
    ),
    "DHCPv6": (
        "stations",
        lambda t: access(t, "two")["ip-connection"]["ipv6"].update({"address-allocation-type": "provider-dhcp"}),
        UNSUPPORTED,
        "ipv6/address-allocation-type",
        "slaac",
        lambda t: None,
    ),
    "no IPv6 gateway": (
        "stations",
        lambda t: access(t, "one")["ip-connection"]["ipv6"].pop("elasticlab-access:slaac"),
        INVALID,
        "elasticlab-access:slaac/provider-address",
        "gateway",
        lambda t: access(t, "one")["ip-connection"].pop("ipv6"),
    ),
    "all routers": (
        "stations",
        lambda t: ip(t, "one", "ipv6", provider_address="2001:db8:1::"),
        INVALID,
        "provider-address",
        "no host",
        lambda t: ip(t, "one", "ipv6", provider_address="2001:db8:1::2"),
    ),
    "link-local": (
        "stations",
        lambda t: ip(t, "one", "ipv6", provider_address="fe80::1"),
        INVALID,
        "provider-address",
        "unicast",
        lambda t: ip(t, "one", "ipv6", provider_address="fd00::1"),
    ),
    "IPv6 host route": (
        "stations",
        lambda t: ip(t, "two", "ipv6", prefix_length=127),
        INVALID,
        "addresses/prefix-length",
        "/126",
        lambda t: ip(t, "two", "ipv6", prefix_length=126),
    ),
    "IPv6 overlap": (
        "stations",
        lambda t: ip(t, "two", "ipv6", provider_address="2001:db8:1::9"),
        INVALID,
        "ipv6/addresses/provider-address",
        "overlaps 2001:db8:1::/64 of site 'one'",
        lambda t: ip(t, "two", "ipv6", provider_address="2001:db8:3::9"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_place_and_remedy(name: str) -> None:
    order, wrong, tag, place, word, _ = WRONG[name]
    tree = orders.ORDERS[order]()
    wrong(tree)
    with pytest.raises(ApplyError) as caught:
        read(tree)
    assert (caught.value.tag, word in caught.value.message) == (tag, True), caught.value.message
    assert caught.value.path is not None
    assert caught.value.path.endswith(place), caught.value.path
    list(parse(caught.value.path))  # an instance identifier


@pytest.mark.parametrize("name", WRONG)
def test_its_twin_is_taken(name: str) -> None:
    order, _, _, _, _, right = WRONG[name]
    tree = orders.ORDERS[order]()
    right(tree)
    read(tree)


@pytest.mark.parametrize(
    ("gateway", "number", "first", "last"),
    [
        ("10.2.0.1", 1, "10.2.0.254", "10.2.0.254"),
        ("10.2.0.1", 253, "10.2.0.2", "10.2.0.254"),
        ("10.2.0.254", 50, "10.2.0.204", "10.2.0.253"),
        ("10.2.0.100", 154, "10.2.0.101", "10.2.0.254"),
    ],
)
def test_a_number_of_addresses_is_as_high_as_they_have_room(gateway: str, number: int, first: str, last: str) -> None:
    tree = orders.stations()
    ip(tree, "two", "ipv4", provider_address=gateway, number_of_dynamic_address=number)
    dhcp = read(tree).sites[1].dhcp
    assert dhcp is not None
    assert (str(dhcp.start), str(dhcp.end)) == (first, last)

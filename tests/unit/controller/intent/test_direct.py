"""Direct paths: which boxes call each other, what they have for it, and what a plan says where they cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from controller.intent import DeviceFacts, allocate, compile, join, pops, read
from controller.service.direct import notes
from yangkit import Schema, Tree

SEGMENT = "elasticlab-tenant:segment"


@pytest.fixture
def direct(demo: Tree) -> Tree:
    """The demo with two routed sites and direct paths in the VPN between them."""
    services = demo["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"]
    services[2]["elasticlab-access:direct-paths"] = True
    _box(demo, 1).update({"mode": "routed"})
    _box(demo, 1).pop("vlan")
    return demo


def _box(tree: Tree, index: int) -> Tree:
    site = tree["ietf-l3vpn-svc:l3vpn-svc"]["sites"]["site"][index]
    box: Tree = site["site-network-accesses"]["site-network-access"][0]["elasticlab-access:access"]
    return box


def _devices(inventory: dict[str, DeviceFacts], **called_from: str | None) -> dict[str, DeviceFacts]:
    changed = {name.replace("_", "-"): where for name, where in called_from.items()}
    return {name: dataclasses.replace(f, called_from=changed.get(name, f.called_from)) for name, f in inventory.items()}


NATTED, PUBLIC = {"ucpe_1": "198.51.100.1"}, {"ucpe_2": "192.0.2.6"}


@pytest.fixture
def one_public(inventory: dict[str, DeviceFacts]) -> dict[str, DeviceFacts]:
    """ucpe-1 is behind NAT, ucpe-2 is not."""
    return _devices(inventory, **NATTED, **PUBLIC)


def _connection(tree: Tree, name: str) -> Tree | None:
    entries = tree["elasticlab-ipsec:ipsec"]["conn-entry"]
    return next((entry for entry in entries if entry["name"] == name), None)


def _interface(tree: Tree, name: str) -> Tree:
    (found,) = [i for i in tree["ietf-interfaces:interfaces"]["interface"] if i["name"] == name]
    return found


def _routes(tree: Tree) -> dict[str, str]:
    (protocol,) = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
    routes = protocol["static-routes"]["ietf-ipv4-unicast-routing:ipv4"]["route"]
    return {route["destination-prefix"]: route["next-hop"]["outgoing-interface"] for route in routes}


def test_the_box_behind_nat_calls_the_other(
    direct: Tree,
    one_public: dict[str, DeviceFacts],
    build: Callable[..., dict[str, Tree]],
    schema_of: Callable[[str], Schema],
) -> None:
    trees = build(direct, one_public)
    calls, waits = _connection(trees["ucpe-1"], "ucpe-2"), _connection(trees["ucpe-2"], "ucpe-1")
    assert calls is not None
    assert waits is not None
    assert (calls["autostartup"], calls["remote"].get("address")) == ("start", "192.0.2.6")
    assert (waits["autostartup"], waits["remote"].get("address")) == ("add", None)
    assert calls["track-routes"] is waits["track-routes"] is True
    (flow,) = calls["spd"]["spd-entry"]
    assert (flow["local-prefix"], flow["remote-prefix"]) == (["100.127.1.1/32"], ["100.127.2.1/32"])
    gre = _interface(trees["ucpe-1"], "gre-ucpe-2")
    assert (gre["elasticlab-tenant:tenant"], gre[SEGMENT]) == ("acme", ["between"])
    assert _routes(trees["ucpe-1"]) == {"0.0.0.0/0": "gre-vmsr-1", "10.2.0.0/24": "gre-ucpe-2"}
    assert _routes(trees["ucpe-2"]) == {"0.0.0.0/0": "gre-vmsr-1", "10.1.0.0/24": "gre-ucpe-1"}
    pad = trees["ucpe-1"]["elasticlab-ipsec:ipsec"]["pad"]["pad-entry"]
    assert {"name": "ucpe-2", "identity": "ucpe-2.elasticlab.example"} in pad
    for name, tree in trees.items():
        tree["ietf-interfaces:interfaces"]["interface"].append({"name": "wan", "type": "iana-if-type:ethernetCsmacd"})
        schema_of(name).validate(tree)


def test_the_router_needs_nothing_for_it(
    direct: Tree, one_public: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    before = build(direct, one_public)
    direct["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"][2].pop("elasticlab-access:direct-paths")
    after = build(direct, one_public)
    assert {name for name in before if before[name] != after[name]} == {"ucpe-1", "ucpe-2"}
    assert _connection(after["ucpe-1"], "ucpe-2") is None
    assert _connection(after["ucpe-2"], "ucpe-1") is None


@pytest.mark.parametrize("caller", ["ucpe-1", "ucpe-2"])
def test_what_is_outside_in_ipv6_is_narrower_at_both_ends(
    caller: str, direct: Tree, inventory: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    called = next(name for name in ("ucpe-1", "ucpe-2") if name != caller)
    six = {
        caller: dataclasses.replace(inventory[caller], wan6_address="2001:db8::7", called_from="198.51.100.9"),
        called: dataclasses.replace(inventory[called], wan6_address="2001:db8::8", called_from="2001:db8::8"),
    }
    trees = build(direct, inventory | six)
    calls = _connection(trees[caller], called)
    assert calls is not None
    assert calls["remote"]["address"] == "2001:db8::8"
    for here, peer in ((caller, called), (called, caller)):
        widths = [_interface(trees[here], f"{kind}-{peer}")["elasticlab-interface:mtu"] for kind in ("ipsec", "gre")]
        assert widths == [1418, 1394]
        widths = [_interface(trees[here], f"{kind}-vmsr-1")["elasticlab-interface:mtu"] for kind in ("ipsec", "gre")]
        assert widths == [1438, 1414], "the way to the POP is in IPv4"


def test_of_two_that_can_be_called_the_first_calls(
    direct: Tree, inventory: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    trees = build(direct, _devices(inventory, ucpe_1="192.168.1.10", **PUBLIC))
    calls, waits = _connection(trees["ucpe-1"], "ucpe-2"), _connection(trees["ucpe-2"], "ucpe-1")
    assert calls is not None
    assert waits is not None
    assert (calls["autostartup"], waits["autostartup"]) == ("start", "add")


def _six(devices: dict[str, DeviceFacts], **addresses: str | None) -> dict[str, DeviceFacts]:
    """Devices that have IPv6 besides."""
    six = {name.replace("_", "-"): address for name, address in addresses.items()}
    return devices | {name: dataclasses.replace(devices[name], wan6_address=address) for name, address in six.items()}


BOTH_NATTED = {**NATTED, "ucpe_2": "198.51.100.2"}


def test_two_behind_nat_meet_in_ipv6(
    direct: Tree, inventory: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    devices = _six(_devices(inventory, **BOTH_NATTED), ucpe_1="2001:db8:1::1", ucpe_2="2001:db8:2::2")
    trees = build(direct, devices)
    calls, waits = _connection(trees["ucpe-1"], "ucpe-2"), _connection(trees["ucpe-2"], "ucpe-1")
    assert calls is not None
    assert waits is not None
    assert (calls["autostartup"], calls["remote"].get("address")) == ("start", "2001:db8:2::2")
    assert (waits["autostartup"], waits["remote"].get("address")) == ("add", None)
    assert calls["track-routes"] is waits["track-routes"] is True, "what is in between may let nobody in"
    for here, peer in (("ucpe-1", "ucpe-2"), ("ucpe-2", "ucpe-1")):
        assert _interface(trees[here], f"gre-{peer}")["elasticlab-interface:mtu"] == 1394
    assert not list(notes(read(direct), devices, ["branch-1"]))


def test_where_one_was_seen_to_be_reachable_it_is_called_there(
    direct: Tree, one_public: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    """What was seen is surer than what ought to be."""
    trees = build(direct, _six(one_public, ucpe_1="2001:db8:1::1", ucpe_2="2001:db8:2::2"))
    calls = _connection(trees["ucpe-1"], "ucpe-2")
    assert calls is not None
    assert calls["remote"]["address"] == "192.0.2.6"


@pytest.mark.parametrize(
    ("addresses", "lacking"),
    [
        ({"ucpe_1": "2001:db8:1::1"}, "and ucpe-2 has none of IPv6 that is global"),
        ({"ucpe_1": "fd00::1", "ucpe_2": "2001:db8:2::2"}, "and ucpe-1 has none of IPv6 that is global"),
        ({"ucpe_1": "fd00::1", "ucpe_2": "fd00::2"}, "and ucpe-1 and ucpe-2 have no global IPv6 address"),
    ],
)
def test_without_a_global_address_at_both_they_are_relayed_and_the_plan_says_so(
    addresses: dict[str, str],
    lacking: str,
    direct: Tree,
    inventory: dict[str, DeviceFacts],
    build: Callable[..., dict[str, Tree]],
) -> None:
    devices = _six(_devices(inventory, **BOTH_NATTED), **addresses)
    assert _connection(build(direct, devices)["ucpe-1"], "ucpe-2") is None
    (note,) = notes(read(direct), devices, ["branch-1"])
    assert "both behind NAT" in note.text
    assert lacking in note.text
    assert "relayed by the POP" in note.text


HIDDEN = {
    "both behind NAT": (BOTH_NATTED, "both behind NAT"),
    "nobody knows": ({}, "ucpe-1 has not called since"),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_where_nobody_can_be_called_the_router_relays_and_the_plan_says_so(
    case: str, direct: Tree, inventory: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    called_from, reason = HIDDEN[case]
    devices = _devices(inventory, **called_from)
    assert _connection(build(direct, devices)["ucpe-1"], "ucpe-2") is None
    (note,) = notes(read(direct), devices, ["branch-1"])
    assert (note.site, note.peer) == ("branch-1", "branch-2")
    assert reason in note.text
    assert "relayed by the POP" in note.text
    assert not list(notes(read(direct), devices, ["somebody-else"]))


def test_a_box_that_has_not_come_is_waited_for(direct: Tree, one_public: dict[str, DeviceFacts]) -> None:
    del one_public["ucpe-1"]
    (note,) = notes(read(direct), one_public, ["branch-2"])
    assert "ucpe-1 has not come yet" in note.text


def test_a_path_that_is_there_needs_no_note(direct: Tree, one_public: dict[str, DeviceFacts]) -> None:
    assert not list(notes(read(direct), one_public, ["branch-1", "branch-2"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"mode": "bridged"}, "branch-2 is bridged"), ({"encapsulation": "none"}, "branch-2 has plain IPsec")],
)
def test_only_gre_can_be_direct(
    change: Tree,
    reason: str,
    direct: Tree,
    one_public: dict[str, DeviceFacts],
    build: Callable[..., dict[str, Tree]],
) -> None:
    _box(direct, 1).update(change)
    assert _connection(build(direct, one_public)["ucpe-1"], "ucpe-2") is None
    (note,) = notes(read(direct), one_public, ["branch-2"])
    assert reason in note.text


def test_families_of_ip_must_meet(direct: Tree, inventory: dict[str, DeviceFacts]) -> None:
    six = dataclasses.replace(
        inventory["ucpe-2"], wan_address=None, wan6_address="2001:db8::2", called_from="2001:db8::2"
    )
    devices = _devices(inventory, **NATTED) | {"ucpe-2": six}
    (note,) = notes(read(direct), devices, ["branch-2"])
    assert "no family of IP in common" in note.text


def test_without_a_vpn_that_asks_for_it_there_is_no_path(
    direct: Tree, one_public: dict[str, DeviceFacts], build: Callable[..., dict[str, Tree]]
) -> None:
    services = direct["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"]
    services[2]["elasticlab-access:direct-paths"] = False
    services[0]["elasticlab-access:direct-paths"] = True  # one of the two is in it
    assert _connection(build(direct, one_public)["ucpe-1"], "ucpe-2") is None
    assert not list(notes(read(direct), one_public, ["branch-1"]))


def test_numbers_are_given_back(direct: Tree, one_public: dict[str, DeviceFacts]) -> None:
    with_path = allocate(read(direct), pops(one_public), {})
    direct["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"][2].pop("elasticlab-access:direct-paths")
    without = allocate(read(direct), pops(one_public), {})
    assert without.table.items() < with_path.table.items()
    assert allocate(read(direct), pops(one_public), with_path.table) == without


def test_a_box_that_moves_behind_nat_is_compiled_anew(
    direct: Tree, one_public: dict[str, DeviceFacts], inventory: dict[str, DeviceFacts]
) -> None:
    intent = read(direct)
    numbers = allocate(intent, pops(inventory), {})
    moved = _devices(one_public, ucpe_2="198.51.100.7")
    assert _connection(compile(intent, one_public, numbers)["ucpe-1"], "ucpe-2") is not None
    assert _connection(compile(intent, moved, numbers)["ucpe-1"], "ucpe-2") is None
    assert _connection(compile(intent, moved, numbers)["ucpe-2"], "ucpe-1") is None


def test_a_path_needs_both_sites(direct: Tree, one_public: dict[str, DeviceFacts]) -> None:
    intent = read(direct)
    numbers = allocate(intent, pops(one_public), {})
    assert set(join(intent, one_public, numbers).links) == {"ucpe-1", "ucpe-2"}
    del one_public["ucpe-2"]
    assert not join(intent, one_public, numbers).links


def test_names_that_are_cut_never_clash(direct: Tree, one_public: dict[str, DeviceFacts]) -> None:
    """The POP and another box may be called nearly alike, and have the same number among their kind."""
    stem = "branch-of-a-customer-in-"
    names = {"ucpe-1": f"{stem}rome", "ucpe-2": f"{stem}oslo", "vmsr-1": f"{stem}vienna"}
    text = _replaced(direct, names)
    devices = {names[old]: dataclasses.replace(facts, name=names[old]) for old, facts in one_public.items()}
    intent = read(text)
    for tree in compile(intent, devices, allocate(intent, pops(devices), {})).values():
        found = [i["name"] for i in tree["ietf-interfaces:interfaces"]["interface"]]
        assert len(set(found)) == len(found)
        peers = [entry["name"] for entry in tree["elasticlab-ipsec:ipsec"]["conn-entry"]]
        assert len(set(peers)) == len(peers)


def _replaced(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value

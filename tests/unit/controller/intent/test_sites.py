"""Several sites on a box: each has its own, and what comes or goes leaves the others alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from controller import drivers
from controller.intent import (
    Allocations,
    DeviceFacts,
    allocate,
    changed_sites,
    check_devices,
    compile,
    join,
    plan,
    pops,
)
from controller.intent import read as parsed
from yangkit import ApplyError, Schema, Tree

from tests.unit.controller.intent import orders
from tests.unit.controller.intent.conftest import compiled

SchemaOf = Callable[[str], Schema]
ROOT = "ietf-l3vpn-svc:l3vpn-svc"


vpn, site, order = orders.vpn, orders.site, orders.order


def built(tree: Tree, before: Allocations | None = None) -> tuple[dict[str, Tree], Allocations]:
    """Trees and numbers, which stay what they were before."""
    intent = parsed(tree)
    numbers = allocate(intent, pops(orders.DEVICES), before.table if before else {})
    return compile(intent, orders.DEVICES, numbers), numbers


def changes(before: Tree, after: Tree, schema_of: SchemaOf) -> set[tuple[str, str, str]]:
    """What the second order does to the devices of the first: device, operation, name of the entry."""
    old, numbers = built(before)
    new, _ = built(after, numbers)
    edits = plan(old, new, schema_of)
    return {(e.device, e.operation, e.description.rpartition(" ")[2]) for e in edits}


def _sites(tree: Tree, *names: str) -> Tree:
    """The order without these sites."""
    sites = tree[ROOT]["sites"]
    sites["site"] = [one for one in sites["site"] if one["site-id"] not in names]
    return tree


def _box(tree: Tree, name: str) -> Tree:
    one = next(one for one in tree[ROOT]["sites"]["site"] if one["site-id"] == name)
    box: Tree = one["site-network-accesses"]["site-network-access"][0]["elasticlab-access:access"]
    return box


def flows(tree: Tree) -> dict[str, Tree]:
    """The flows of a device's connections, by their names."""
    entries = tree.get("elasticlab-ipsec:ipsec", {}).get("conn-entry", ())
    return {f"{conn['name']} {flow['name']}": flow for conn in entries for flow in conn["spd"]["spd-entry"]}


def interfaces(tree: Tree) -> dict[str, Tree]:
    """Interfaces by their names."""
    return {one["name"]: one for one in tree["ietf-interfaces:interfaces"]["interface"]}


class TestSitesOfOneBox:
    def test_another_port_touches_nobody(self, schema_of: SchemaOf) -> None:
        before = _sites(orders.several_sites(), "e-alone")
        mine = {"vxlan-1023"}
        assert changes(before, orders.several_sites(), schema_of) == {
            *(("ucpe-1", "create", name) for name in mine | {"br-lan3", "lan3"}),
            *(("vmsr-1", "create", name) for name in mine),
            ("vmsr-1", "replace", "acme"),  # who may go to the Internet
        }

    def test_another_vlan_touches_port_and_bridge_beside_its_own(self, schema_of: SchemaOf) -> None:
        before = _sites(orders.several_sites(), "c-twenty")
        assert changes(before, orders.several_sites(), schema_of) == {
            ("ucpe-1", "create", "vxlan-1023"),
            ("ucpe-1", "replace", "br-lan2"),
            ("ucpe-1", "replace", "lan2"),
            ("vmsr-1", "create", "vxlan-1023"),
        }

    def test_who_leaves_takes_only_his_own(self, schema_of: SchemaOf) -> None:
        after = _sites(orders.several_sites(), "b-ten")
        assert changes(orders.several_sites(), after, schema_of) == {
            ("ucpe-1", "delete", "vxlan-1020"),
            ("ucpe-1", "replace", "br-lan2"),
            ("ucpe-1", "replace", "lan2"),
            ("vmsr-1", "delete", "vxlan-1020"),
            ("vmsr-1", "replace", "acme"),
        }

    def test_a_vlan_may_change(self, schema_of: SchemaOf) -> None:
        """Its gateway gets that VLAN's MAC address."""
        after = orders.several_sites()
        _box(after, "c-twenty")["vlan"] = 21
        assert changes(orders.several_sites(), after, schema_of) == {
            *(("ucpe-1", "replace", name) for name in ("br-lan2", "lan2", "vxlan-1021")),
            ("vmsr-1", "replace", "vxlan-1021"),
        }

    def test_a_port_may_change(self, schema_of: SchemaOf) -> None:
        after = orders.several_sites()
        _box(after, "e-alone")["port"] = "lan4"
        assert changes(orders.several_sites(), after, schema_of) == {
            ("ucpe-1", "create", "br-lan4"),
            ("ucpe-1", "create", "lan4"),
            ("ucpe-1", "delete", "br-lan3"),
            ("ucpe-1", "delete", "lan3"),
            ("ucpe-1", "replace", "vxlan-1023"),
        }

    def test_untagged_frames_have_a_vlan_that_no_site_has(self) -> None:
        tree = orders.several_sites()
        _box(tree, "b-ten")["vlan"] = 4094
        lan2 = interfaces(built(tree)[0]["ucpe-1"])["lan2"]["elasticlab-bridge:bridge-port"]
        assert (lan2["tagged-vlan"], lan2["access-vlan"]) == ([4094, 20], 4093)

    def test_each_vlan_has_one_vni(self) -> None:
        found = interfaces(built(orders.several_sites())[0]["ucpe-1"])
        ends = [
            (one["elasticlab-bridge:bridge-port"]["bridge"], one["elasticlab-bridge:bridge-port"].get("access-vlan"))
            for name, one in found.items()
            if name.startswith("vxlan")
        ]
        assert len(ends) == len(set(ends)) == 4


class TestPlainIpsec:
    def test_both_ends_select_the_same(self) -> None:
        for name in ("plain-to-internet", "plain-between"):
            trees, _ = built(orders.ORDERS[name]())
            pop = {flow["interface"].rsplit("_", 1)[0]: flow for flow in flows(trees["vmsr-1"]).values()}
            for device in ("ucpe-1", "ucpe-2"):
                for label, flow in flows(trees[device]).items():
                    if not label.endswith("overlay"):
                        other = pop[flow["interface"].rsplit("_", 1)[0]]
                        assert flow["local-prefix"] == other["remote-prefix"]
                        assert flow["remote-prefix"] == other["local-prefix"]

    def test_a_new_site_is_one_more_prefix_for_the_others(self, schema_of: SchemaOf) -> None:
        before, after = orders.plain_between(), orders.plain_between()
        after[ROOT]["sites"]["site"].append(
            site("three", "ucpe-2", "10.3.0.1/24", "between", mode="bridged", port="lan2")
        )
        old, numbers = built(before)
        new, _ = built(after, numbers)
        for device in ("ucpe-1", "ucpe-2", "vmsr-1"):
            for name, flow in flows(old[device]).items():
                same = flows(new[device])[name]
                assert same["interface"] == flow["interface"]
                for end in ("local-prefix", "remote-prefix"):
                    more = set(same[end]) - set(flow[end])
                    assert set(flow[end]) <= set(same[end])
                    assert more <= {"10.3.0.0/24"}
        assert changed_sites(parsed(before), parsed(after)) == {"one", "two", "three"}
        assert ("ucpe-1", "replace", "vmsr-1") in changes(before, after, schema_of)

    def test_gre_does_not_care_who_comes(self) -> None:
        before, after = orders.plain_between(), orders.plain_between()
        for tree in (before, after):
            for name in ("one", "two"):
                del _box(tree, name)["encapsulation"]
        after[ROOT]["sites"]["site"].append(
            site("three", "ucpe-2", "10.3.0.1/24", "between", mode="bridged", port="lan2")
        )
        assert changed_sites(parsed(before), parsed(after)) == {"three"}

    def test_nobody_to_reach_is_no_flow(self) -> None:
        tree = order(
            [vpn("alone")],
            [site("one", "ucpe-1", "10.1.0.1/24", "alone", encapsulation="none", **{"local-internet": {}})],
        )
        trees, _ = built(tree)
        assert list(flows(trees["ucpe-1"])) == ["vmsr-1 overlay"]
        assert "ipsec_" not in str(trees)

    def test_names_are_unique_though_tenants_choose_the_same(self) -> None:
        long = "a-very-long-name-for-a-branch"
        tree = order(
            [vpn("one", internet=True), vpn("two", "other", internet=True)],
            [
                site(f"acme.{long}", "ucpe-1", "10.1.0.1/24", "one", encapsulation="none"),
                site(f"other.{long}", "ucpe-2", "10.1.0.1/24", "two", encapsulation="none"),
            ],
        )
        names = list(interfaces(built(tree)[0]["vmsr-1"]))
        assert len(names) == len(set(names))
        assert all(len(name) <= 15 for name in names)

    def test_its_prefixes_only_where_the_others_are_of_its_family(self) -> None:
        tree = orders.plain_between()
        other = tree[ROOT]["sites"]["site"][1]["site-network-accesses"]["site-network-access"][0]
        del other["ip-connection"]["ipv6"]
        trees, _ = built(tree)
        one, two = flows(trees["ucpe-1"])["vmsr-1 site-one_2"], flows(trees["ucpe-2"])["vmsr-1 site-two_2"]
        assert (one["local-prefix"], one["remote-prefix"]) == (["10.1.0.0/24"], ["10.2.0.0/24"])
        assert (two["local-prefix"], two["remote-prefix"]) == (["10.2.0.0/24"], ["10.1.0.0/24"])


class TestPrivateLines:
    def test_a_box_on_the_line_alone_has_no_ipsec(self) -> None:
        trees, _ = built(orders.private_line())
        assert "elasticlab-ipsec:ipsec" not in trees["ucpe-2"]
        assert [conn["name"] for conn in trees["vmsr-1"]["elasticlab-ipsec:ipsec"]["conn-entry"]] == ["ucpe-1"]

    def test_the_line_goes_when_nobody_needs_it(self, schema_of: SchemaOf) -> None:
        after = orders.private_line()
        for name in ("line", "alone"):
            _box(after, name)["transport"] = "ipsec"
        found = changes(orders.private_line(), after, schema_of)
        assert {("ucpe-1", "delete", "line"), ("ucpe-2", "delete", "line"), ("vmsr-1", "delete", "line")} <= found
        replaced = {(device, name) for device, operation, name in found if operation == "replace"}
        assert replaced == {
            ("ucpe-1", "vxlan-1021"),
            ("ucpe-2", "vxlan-1020"),
            ("vmsr-1", "vxlan-1020"),
            ("vmsr-1", "vxlan-1021"),
        }

    def test_a_model_without_the_port_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        without = [dataclasses.replace(d, line_port=None) if d.name == "ucpe" else d for d in drivers.every()]
        drivers._find.cache_clear()
        monkeypatch.setattr(drivers, "every", lambda: tuple(without))
        try:
            with pytest.raises(ApplyError, match="no port for a private line") as caught:
                check_devices(parsed({}), parsed(orders.private_line()), orders.DEVICES)
            assert str(caught.value.path).endswith("elasticlab-access:access/transport")
            intent = parsed(orders.private_line())
            network = join(intent, orders.DEVICES, allocate(intent, pops(orders.DEVICES), {}))
            assert set(network.waiting) == {"line", "alone"}
            assert set(network.attachments) == {"tunnel"}
        finally:
            drivers._find.cache_clear()


class TestLocalInternet:
    def test_the_pop_opens_only_for_who_leaves_there(self) -> None:
        tree = orders.local_internet()
        assert built(tree)[0]["vmsr-1"]["elasticlab-nat:nat"]["breakout"][0]["internal-interface"] == ["gre-ucpe-1"]
        local = _box(tree, "one")["local-internet"]
        local["default"] = "local"
        assert "elasticlab-nat:nat" in built(tree)[0]["vmsr-1"]  # voice still leaves there
        local["rule"] = local["rule"][1:]
        trees, _ = built(tree)
        assert "elasticlab-nat:nat" not in trees["vmsr-1"]
        assert "0.0.0.0/0" not in str(trees["vmsr-1"]["ietf-routing:routing"])

    def test_vpns_come_before_what_the_user_says(self) -> None:
        tree = orders.local_internet()
        rule = {"name": "all", "action": "local"}
        _box(tree, "one")["local-internet"] = {"rule": [rule]}
        (breakout,) = built(tree)[0]["ucpe-1"]["elasticlab-nat:nat"]["breakout"]
        assert [(p["name"], p["action"]) for p in breakout["policy"]] == [
            ("vpn-10.2.0.0/24", "route"),
            ("rule-all", "break-out"),
            ("default", "break-out"),
        ]

    def test_who_comes_changes_the_policy_of_the_others(self) -> None:
        before = _sites(orders.local_internet(), "two")
        before[ROOT]["vpn-services"]["vpn-service"].pop()
        one = before[ROOT]["sites"]["site"][0]
        one["vpn-policies"]["vpn-policy"][0]["entries"][0]["vpn"].pop(0)
        assert changed_sites(parsed(before), parsed(orders.local_internet())) == {"one", "two"}


class TestIpv6:
    def test_a_pop_with_ipv6_has_a_way_for_it(self) -> None:
        pop = dataclasses.replace(orders.DEVICES["vmsr-1"], wan6_address="2001:db8::2", wan6_gateway="2001:db8::1")
        tree = compiled(orders.stations(), orders.DEVICES | {"vmsr-1": pop})["vmsr-1"]
        (protocol,) = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
        assert protocol["static-routes"]["ietf-ipv6-unicast-routing:ipv6"]["route"][0] == {
            "destination-prefix": "::/0",
            "next-hop": {"outgoing-interface": "wan", "next-hop-address": "2001:db8::1"},
        }

    @pytest.mark.parametrize(
        ("box", "called"),
        [
            ({}, "203.0.113.2"),
            ({"wan6_address": "2001:db8:9::2"}, "203.0.113.2"),
            ({"wan_address": None, "wan6_address": "2001:db8:9::2"}, "2001:db8::2"),
            ({"wan_address": None}, "203.0.113.2"),
        ],
    )
    def test_a_box_without_ipv4_calls_in_ipv6(self, box: dict[str, Any], called: str) -> None:
        pop = dataclasses.replace(orders.DEVICES["vmsr-1"], wan6_address="2001:db8::2", wan6_gateway="2001:db8::1")
        devices = orders.DEVICES | {"vmsr-1": pop, "ucpe-1": dataclasses.replace(orders.DEVICES["ucpe-1"], **box)}
        (connection,) = compiled(orders.plain_between(), devices)["ucpe-1"]["elasticlab-ipsec:ipsec"]["conn-entry"]
        assert connection["remote"]["address"] == called

    def test_who_cannot_be_called_is_waited_for(self) -> None:
        box = DeviceFacts("ucpe-1", "U1", "ucpe-100", "ucpe", wan6_address="2001:db8:9::2")
        devices = orders.DEVICES | {"ucpe-1": box}
        intent = parsed(orders.plain_between())
        network = join(intent, devices, allocate(intent, pops(devices), {}))
        assert network.waiting == {"one": "POP router vmsr-1 has no IPv6 address that device ucpe-1 could call"}

"""Owned entries: edits on a real datastore, drift, and the plan of an order."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from controller.intent import drift, edit, plan
from controller.service.entries import Wanted, read_xml
from lxml import etree
from yangkit import Schema, Tree, treejson, treexml
from yangkit.edit import Editor

Build = Callable[..., dict[str, Tree]]
SchemaOf = Callable[[str], Schema]
BASE = {
    "ietf-interfaces:interfaces": {"interface": [{"name": "wan", "type": "iana-if-type:ethernetCsmacd"}]},
    "ietf-routing:routing": {
        "control-plane-protocols": {
            "control-plane-protocol": [{"type": "ietf-routing:static", "name": "underlay", "description": "base"}]
        }
    },
}


def _apply(schema: Schema, tree: Tree, config: str) -> Tree:
    """What an edit-config makes of a datastore, with yangkit's engine (RFC 6241, section 7.2)."""
    root = etree.fromstring(config)
    return treejson.dump(Editor().run(treejson.load(schema, tree), root))


def _same(schema: Schema, one: Tree, two: Tree) -> bool:
    return treejson.load(schema, one).same(treejson.load(schema, two))


@pytest.mark.parametrize("device", ["ucpe-1", "ucpe-2", "vmsr-1"])
def test_what_is_written_can_be_taken_back_and_the_base_stays(
    device: str, demo: Tree, build: Build, schema_of: SchemaOf
) -> None:
    schema, intended = schema_of(device), build(demo)[device]
    full = _apply(schema, BASE, edit(frozenset(), intended, schema))
    schema.validate(full)
    assert drift(full, intended, schema) == []
    keys = Wanted(intended, schema).keys
    assert not any("'wan'" in key or "'underlay'" in key for key in keys)
    assert not len(etree.fromstring(edit(keys, intended, schema, actual=full)))
    assert _same(schema, _apply(schema, full, edit(keys, {}, schema)), BASE)
    assert _same(schema, _apply(schema, full, edit(keys, {}, schema, actual=full)), BASE)


def test_removing_what_is_gone_already_is_no_error(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema = schema_of("ucpe-1")
    keys = Wanted(build(demo)["ucpe-1"], schema).keys
    assert _same(schema, _apply(schema, BASE, edit(keys, {}, schema)), BASE)
    assert not len(etree.fromstring(edit(keys, {}, schema, actual=BASE)))


def test_an_edit_mends_drift_and_touches_nothing_else(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema, intended = schema_of("vmsr-1"), build(demo)["vmsr-1"]
    keys = Wanted(intended, schema).keys
    full = _apply(schema, BASE, edit((), intended, schema))
    broken = copy.deepcopy(full)
    interfaces = broken["ietf-interfaces:interfaces"]["interface"]
    by_name = {i["name"]: i for i in interfaces}
    by_name["gre-ucpe-1"]["elasticlab-interface:mtu"] = 1300
    by_name["vxlan-1020"]["enabled"] = False
    interfaces.remove(by_name["overlay"])
    interfaces.append({"name": "lan7", "type": "iana-if-type:ethernetCsmacd"})  # somebody else's
    found = {(d.entry.split("'")[1], d.kind) for d in drift(broken, intended, schema)}
    assert found == {("gre-ucpe-1", "changed"), ("vxlan-1020", "unexpected"), ("overlay", "missing")}
    config = edit(keys, intended, schema, actual=broken)
    assert config.count('operation="replace"') == 3
    mended = _apply(schema, broken, config)
    assert drift(mended, intended, schema) == []
    assert "lan7" in str(mended)


def test_defaults_written_out_and_state_and_unknown_modules_are_no_drift(
    demo: Tree, build: Build, schema_of: SchemaOf
) -> None:
    schema, intended = schema_of("vmsr-1"), build(demo)["vmsr-1"]
    actual = copy.deepcopy(intended)
    first = actual["ietf-interfaces:interfaces"]["interface"][0]
    first |= {"enabled": True, "oper-status": "up", "vendor:thing": 1}
    actual["elasticlab-ipsec:ipsec"]["conn-entry"][0]["replay-window"] = 1024
    actual["vendor:other"] = {"x": 1}
    assert drift(actual, intended, schema) == []


def test_only_list_entries_can_be_owned(schema_of: SchemaOf) -> None:
    with pytest.raises(ValueError, match="only those can be owned"):
        _ = Wanted({"ietf-netconf-acm:nacm": {"enable-nacm": False}}, schema_of("ucpe-1")).keys


def test_what_a_device_says_is_read(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema, intended = schema_of("ucpe-2"), build(demo)["ucpe-2"]
    xml = treexml.dump(treejson.load(schema, intended))
    assert read_xml(schema, etree.fromstring(f"<data>{xml}</data>")).same(treejson.load(schema, intended))


def test_a_plan_names_each_entry_once(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    full, empty = build(demo), {name: {} for name in ("ucpe-1", "ucpe-2", "vmsr-1")}
    creates = plan(empty, full, schema_of)
    assert {e.operation for e in creates} == {"create"}
    assert len({(e.device, e.target) for e in creates}) == len(creates)
    assert all(e.config and e.description.startswith("Add ") for e in creates)
    deletes = plan(full, empty, schema_of)
    assert {(e.device, e.target) for e in deletes} == {(e.device, e.target) for e in creates}
    assert all("config" not in e.tree() for e in deletes)
    assert plan(full, full, schema_of) == []


def test_a_plan_shows_only_what_changes(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    before = build(copy.deepcopy(demo))
    access = demo["ietf-l3vpn-svc:l3vpn-svc"]["sites"]["site"][0]["site-network-accesses"]["site-network-access"][0]
    access["ip-connection"]["ipv4"]["addresses"]["provider-address"] = "10.9.0.1"
    found = {(e.device, e.operation, e.description) for e in plan(before, build(demo), schema_of)}
    assert found == {
        ("ucpe-1", "replace", "Change interface lan"),
        ("vmsr-1", "replace", "Change routes of acme"),
    }


def test_edits_and_plans_are_the_same_every_time(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema = schema_of("vmsr-1")
    one, two = build(copy.deepcopy(demo)), build(demo)
    assert edit(("/ietf-interfaces:interfaces/interface[name='x']",), one["vmsr-1"], schema) == edit(
        ("/ietf-interfaces:interfaces/interface[name='x']",), two["vmsr-1"], schema
    )
    assert plan({}, one, schema_of) == plan({}, two, schema_of)

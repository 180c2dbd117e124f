"""The demo's three orders compile to what people wrote by hand for it (git history: topologies/demo/sites)."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller.intent import DeviceFacts
from controller.service.entries import read_xml
from yangkit import Schema, Tree, treejson, treexml, xmlutil

GOLDEN = Path(__file__).parent / "golden"
DEVICES = ("ucpe-1", "ucpe-2", "vmsr-1")
SEGMENT = "elasticlab-tenant:segment"
NEWER = {"description", SEGMENT, "internal-interface"}


def _comparable(tree: Any, parent: str = "") -> Any:
    """Without the base configuration, descriptions and order: lists become sets of their entries' texts."""
    if isinstance(tree, dict):
        return {
            k: _comparable(v, k) for k, v in tree.items() if k not in {"description", SEGMENT, "internal-interface"}
        }
    if isinstance(tree, list):
        base = {("interface", "wan"), ("control-plane-protocol", "underlay")}
        kept = [i for i in tree if not isinstance(i, dict) or (parent, i.get("name")) not in base]
        return sorted((_comparable(i) for i in kept), key=str)
    return tree


@pytest.mark.parametrize("device", DEVICES)
def test_the_demo_is_compiled_to_what_people_wrote(
    device: str, demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    schema = schema_of(device)
    written, ours = (
        treejson.dump(read_xml(schema, xmlutil.parse(f"<config>{xml}</config>".encode())))
        for xml in ((GOLDEN / f"{device}.xml").read_text(), _xml(schema, build(demo)[device]))
    )
    for tree in (written, ours):
        protocols = tree["ietf-routing:routing"]["control-plane-protocols"]
        if not _comparable(protocols["control-plane-protocol"], "control-plane-protocol"):
            del tree["ietf-routing:routing"]
    assert _comparable(ours) == _comparable(written)


def _xml(schema: Schema, tree: Tree) -> str:
    tree.setdefault(
        "ietf-routing:routing",
        {"control-plane-protocols": {"control-plane-protocol": [{"type": "ietf-routing:static", "name": "underlay"}]}},
    )
    return treexml.dump(treejson.load(schema, tree))


def test_segments_are_the_vpns_of_the_site(demo: Tree, build: Callable[..., dict[str, Tree]]) -> None:
    trees = build(demo)
    found = {
        (device, i["name"]): i[SEGMENT]
        for device, tree in trees.items()
        for i in tree["ietf-interfaces:interfaces"]["interface"]
        if SEGMENT in i
    }
    one, two = ["between", "internet-1"], ["between", "internet-2"]
    assert found == {
        ("ucpe-1", "gre-vmsr-1"): one,
        ("ucpe-1", "lan"): one,
        ("vmsr-1", "gre-ucpe-1"): one,
        ("vmsr-1", "vxlan-1020"): two,
    }


def test_who_has_internet_is_an_internal_interface(demo: Tree, build: Callable[..., dict[str, Tree]]) -> None:
    (breakout,) = build(demo)["vmsr-1"]["elasticlab-nat:nat"]["breakout"]
    assert breakout["internal-interface"] == ["gre-ucpe-1", "vxlan-1020"]


def test_without_internet_there_is_neither_breakout_nor_default_route(
    demo: Tree, build: Callable[..., dict[str, Tree]]
) -> None:
    for service in demo["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"][:2]:
        service["cloud-accesses"]["cloud-access"][0]["deny-site"] = [service["vpn-id"].replace("internet", "branch")]
    vmsr = build(demo)["vmsr-1"]
    assert "elasticlab-nat:nat" not in vmsr
    assert "0.0.0.0/0" not in str(vmsr)


@pytest.mark.parametrize("device", DEVICES)
def test_devices_find_it_valid(
    device: str, demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    tree = build(demo)[device]
    wan = {"name": "wan", "type": "iana-if-type:ethernetCsmacd"}
    tree["ietf-interfaces:interfaces"]["interface"].append(wan)
    schema_of(device).validate(tree)


def test_a_bridged_port_without_vlan_is_valid_and_takes_untagged_frames_alone(
    demo: Tree, build: Callable[..., dict[str, Tree]], schema_of: Callable[[str], Schema]
) -> None:
    access = demo["ietf-l3vpn-svc:l3vpn-svc"]["sites"]["site"][1]["site-network-accesses"]["site-network-access"][0]
    del access["elasticlab-access:access"]["vlan"]
    tree = build(demo)["ucpe-2"]
    schema_of("ucpe-2").validate(tree)
    found = {one["name"]: one for one in tree["ietf-interfaces:interfaces"]["interface"]}
    assert found["br-lan"]["elasticlab-bridge:bridge"]["vlan-aware"]
    assert found["lan"]["elasticlab-bridge:bridge-port"] == {"bridge": "br-lan", "access-vlan": 4094}


def test_long_names_are_cut_and_devices_find_them_valid(
    demo: Tree,
    inventory: dict[str, DeviceFacts],
    build: Callable[..., dict[str, Tree]],
    schema_of: Callable[[str], Schema],
) -> None:
    stem = "branch-of-a-customer-with-a-long-name-in-"
    names = {"ucpe-1": f"{stem}rome", "ucpe-2": f"{stem}oslo", "vmsr-1": f"{stem}vienna"}
    text = str(demo).replace("'acme'", f"'{stem}acme'")
    for old, new in names.items():
        text = text.replace(f"'{old}'", f"'{new}'")
    devices = {names[old]: dataclasses.replace(facts, name=names[old]) for old, facts in inventory.items()}
    trees = build(ast.literal_eval(text), devices)
    for old, new in names.items():
        tree = trees[new]
        interfaces = tree["ietf-interfaces:interfaces"]["interface"]
        interfaces.append({"name": "wan", "type": "iana-if-type:ethernetCsmacd"})
        schema_of(old).validate(tree)
        assert len({i["name"] for i in interfaces}) == len(interfaces)
        assert all(len(i["name"]) <= 15 for i in interfaces)
        assert f"{new}.elasticlab.example" in str(tree)  # identities are never cut

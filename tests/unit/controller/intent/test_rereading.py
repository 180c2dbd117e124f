"""What is told in the same words is not read again; what is read is as if it were."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from controller.service import rereading
from controller.service.entries import read_xml
from controller.service.rereading import Rereader
from lxml import etree
from yangkit import Schema, Tree, treejson, treexml
from yangkit.tree import Container, List

Build = Callable[..., dict[str, Tree]]
SchemaOf = Callable[[str], Schema]
FOREIGN = '<thing xmlns="urn:vendor:thing"><name>x</name></thing>'


def _element(schema: Schema, tree: Tree, more: str = "") -> etree._Element:
    return etree.fromstring(f"<data>{treexml.dump(treejson.load(schema, tree))}{more}</data>")


def _interfaces(tree: Tree) -> list[Any]:
    found: list[Any] = tree["ietf-interfaces:interfaces"]["interface"]
    return found


def _entries(tree: Container, schema: Schema) -> dict[Any, Any]:
    container = tree.children[schema.root.by_json_name["ietf-interfaces:interfaces"]]
    assert isinstance(container, Container)
    (found,) = container.children.values()
    assert isinstance(found, List)
    return dict(found.entries)


def test_whatever_changes_it_reads_what_is_told(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    """Entries come, change and go, in any order."""
    chance = random.Random(1)
    schema, whole = schema_of("vmsr-1"), build(demo)["vmsr-1"]
    reader = Rereader(schema)
    for number in range(60):
        tree = copy.deepcopy(whole)
        interfaces = _interfaces(tree)
        chance.shuffle(interfaces)
        del interfaces[chance.randrange(len(interfaces)) :]
        if interfaces and chance.random() < 0.7:
            chance.choice(interfaces)["description"] = f"number {number % 5}"
        if not interfaces or chance.random() < 0.2:
            del tree["ietf-interfaces:interfaces"]
        if chance.random() < 0.2:
            tree["elasticlab-ipsec:ipsec"]["pad"] = {}
        assert reader.json(tree).same(treejson.load(schema, tree))
        assert reader.xml(_element(schema, tree)).same(read_xml(schema, _element(schema, tree)))


@pytest.mark.parametrize("way", ["xml", "json"])
def test_what_is_told_again_is_not_read_again(
    way: str, demo: Tree, build: Build, schema_of: SchemaOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, tree = schema_of("vmsr-1"), build(demo)["vmsr-1"]
    reader, read = Rereader(schema), []

    def noted(original: Callable[..., Container]) -> Callable[..., Container]:
        def call(*given: Any) -> Container:
            read.append(original(*given))
            return read[-1]

        return call

    monkeypatch.setattr(rereading, "read_xml", noted(rereading.read_xml))
    monkeypatch.setattr(treejson, "load", noted(treejson.load))

    def reading(tree: Tree) -> Container:
        return reader.json(tree) if way == "json" else reader.xml(_element(schema, tree))

    before = _entries(reading(tree), schema)
    changed = copy.deepcopy(tree)
    _interfaces(changed)[0]["description"] = "another"
    name = (_interfaces(changed)[0]["name"],)
    after = _entries(reading(changed), schema)
    assert _entries(read[-1], schema).keys() == {name}
    assert {key for key in before if before[key] is not after[key]} == {name}


def test_what_is_told_no_more_is_forgotten(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema, tree = schema_of("ucpe-1"), build(demo)["ucpe-1"]
    reader = Rereader(schema)
    before = _entries(reader.json(tree), schema)
    reader.json({})
    assert not {id(one) for one in before.values()} & {id(one) for one in _entries(reader.json(tree), schema).values()}


def test_what_the_driver_does_not_know_is_left_out_each_time(demo: Tree, build: Build, schema_of: SchemaOf) -> None:
    schema, tree = schema_of("ucpe-1"), build(demo)["ucpe-1"]
    reader, known = Rereader(schema), read_xml(schema, _element(schema, tree))
    for _ in range(3):
        data = _element(schema, tree, FOREIGN)
        data[0][0].append(etree.fromstring(FOREIGN))
        assert reader.xml(data).same(known)

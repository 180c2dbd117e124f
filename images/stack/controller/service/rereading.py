"""Reads the same configuration again and again: what is told in the same words as the last time is not read anew.

A device may have hundreds of sites, and an order is about one of them. An entry here is that of an outermost list, as
in ``controller.service.entries``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree
from yangkit import Schema, Tree, treejson
from yangkit.schema import SchemaNode
from yangkit.tree import Container, Key, List, Node, merge
from yangkit.xmlutil import split

from controller.service.entries import read_xml

_Known = dict[SchemaNode, dict[Key, Container]]
_Words = tuple[SchemaNode, bytes]
"""A list, and a digest of what was told of one of its entries."""


@dataclass
class _Memory:
    """Entries by their words: those of the last reading, while the next one is under way."""

    _newer: dict[_Words, tuple[Key, Container]] = field(default_factory=dict)
    _older: dict[_Words, tuple[Key, Container]] = field(default_factory=dict)

    def begin(self) -> None:
        """Another reading."""
        self._older, self._newer = self._newer, {}

    def find(self, words: _Words) -> tuple[Key, Container] | None:
        found = self._older.get(words)
        if found is not None:
            self._newer[words] = found
        return found

    def learn(self, tree: Container, told: Mapping[SchemaNode, Sequence[_Words]]) -> None:
        """Entries that were read: for each list their words, in its order."""
        for schema, words in told.items():
            read = _entries(tree, schema)
            if len(read) == len(words):  # else one was told twice
                self._newer.update(zip(words, read.items(), strict=True))


class Rereader:
    """Reads what one device has, and what it shall have."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._spaces = {module.namespace for module in schema.modules.values()}
        self._xml, self._json = _Memory(), _Memory()

    def xml(self, config: etree._Element) -> Container:
        """The tree of a <config> or <data> element, as far as the schema knows it; the element is used up."""
        self._xml.begin()
        known: _Known = {}
        told: dict[SchemaNode, list[_Words]] = {}
        for schema, element in list(_in_xml(config, self.schema.root)):
            words = schema, _digest(etree.tostring(element, with_tail=False))
            found = self._xml.find(words)
            if found is None:
                told.setdefault(schema, []).append(words)
                continue
            known.setdefault(schema, {})[found[0]] = found[1]
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)
        new = read_xml(self.schema, _pruned(config, self._spaces))
        self._xml.learn(new, told)
        return merge(_grown(self.schema, known), new)

    def json(self, tree: Tree) -> Container:
        """The tree of a dictionary (RFC 7951)."""
        self._json.begin()
        known: _Known = {}
        told: dict[SchemaNode, list[_Words]] = {}
        new = treejson.load(self.schema, self._unknown(tree, self.schema.root, known, told))
        self._json.learn(new, told)
        return merge(_grown(self.schema, known), new)

    def _unknown(
        self, tree: Mapping[str, Any], parent: SchemaNode, known: _Known, told: dict[SchemaNode, list[_Words]]
    ) -> Tree:
        """What of a dictionary is to be read."""
        left: Tree = {}
        for name, value in tree.items():
            node = parent.by_json_name.get(name)
            if node is not None and node.kind == "container" and isinstance(value, Mapping):
                left[name] = self._unknown(value, node, known, told)
            elif node is not None and _has_entries(node) and isinstance(value, list):
                left[name] = []
                for item in value:
                    words = node, _digest(json.dumps(item).encode())
                    if found := self._json.find(words):
                        known.setdefault(node, {})[found[0]] = found[1]
                    else:
                        told.setdefault(node, []).append(words)
                        left[name].append(item)
            else:
                left[name] = value
        return left


def _digest(words: bytes) -> bytes:
    return hashlib.blake2b(words, digest_size=16).digest()


def _has_entries(node: SchemaNode) -> bool:
    return node.kind == "list" and bool(node.keys)


def _in_xml(element: etree._Element, parent: SchemaNode) -> Iterator[tuple[SchemaNode, etree._Element]]:
    """The entries of the outermost lists."""
    for child in element:
        node = parent.children.get(child.tag) if isinstance(child.tag, str) else None
        if node is None:
            continue
        if _has_entries(node):
            yield node, child
        elif node.kind == "container":
            yield from _in_xml(child, node)


def _pruned(parent: etree._Element, spaces: set[str]) -> etree._Element:
    """Without what modules that the driver does not know have added, at any depth: that is others'."""
    for element in list(parent):
        if isinstance(element.tag, str) and split(element)[0] in spaces:
            _pruned(element, spaces)
        else:
            parent.remove(element)
    return parent


def _way(schema: SchemaNode) -> list[SchemaNode]:
    """From the top to a node."""
    way: list[SchemaNode] = []
    node: SchemaNode | None = schema
    while node is not None and node.parent is not None:
        way.insert(0, node)
        node = node.parent
    return way


def _entries(tree: Container, schema: SchemaNode) -> dict[Key, Container]:
    node: Node | None = tree
    for step in _way(schema):
        node = node.children.get(step) if isinstance(node, Container) else None
    entries = node.entries.items() if isinstance(node, List) else ()
    return {key: entry for key, entry in entries if isinstance(entry, Container)}


def _grown(schema: Schema, known: _Known) -> Container:
    """A tree of these entries alone."""
    tree = Container(schema.root, {})
    for one, entries in known.items():
        tree = _with(tree, _way(one), List(one, dict(entries)))
    return tree


def _with(node: Container, way: Sequence[SchemaNode], found: List) -> Container:
    step, *rest = way
    child = node.children.get(step)
    below = child if isinstance(child, Container) else Container(step, {})
    return Container(node.schema, {**node.children, step: _with(below, rest, found) if rest else found})

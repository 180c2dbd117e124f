"""Owned entries of a device's configuration: written, removed and watched by the controller; the rest is others'.

An owned entry is the outermost list entry on a path (an interface, a static routing protocol, a tenant, a breakout, a
PAD entry, a connection), named by its instance identifier (RFC 7951, section 6.11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from lxml import etree
from yangkit import Schema, Tree, defaults, treejson, treexml, xmlutil
from yangkit.diff import changes
from yangkit.edit import Editor
from yangkit.paths import Path, parse
from yangkit.schema import SchemaNode
from yangkit.tree import Container, List, config_only, empty, only

from controller.service.secrets import public

Keys = frozenset[str]
Kind = Literal["missing", "unexpected", "changed"]

_ALIKE = "alike"
"""Under which an entry of what is wanted keeps what it did not differ from when both were compared last."""
_KINDS: Mapping[str, Kind] = {"create": "unexpected", "delete": "missing"}
NC = xmlutil.NC
_OPERATION = f"{{{NC}}}operation"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a device differs from what is intended; ``unexpected`` is what an owned entry holds and should not."""

    entry: str
    """The owned entry."""
    path: str
    """Exactly where."""
    kind: Kind

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}"


class Wanted:
    """What a device shall have, as it is compared with what it has again and again."""

    def __init__(self, tree: Tree, schema: Schema, loaded: Container | None = None) -> None:
        """``loaded`` is the same tree, for those who have it."""
        self.tree, self.schema = tree, schema
        self.loaded = treejson.load(schema, tree) if loaded is None else loaded

    @cached_property
    def entries(self) -> dict[str, tuple[Path, Container]]:
        """Owned entries and where they are, by their identifiers, in the order of the tree."""
        return {str(path): (path, entry) for path, entry in _walk(self.loaded, Path(), strict=True)}

    @cached_property
    def keys(self) -> Keys:
        """Identifiers of the owned entries."""
        return frozenset(self.entries)

    @cached_property
    def trimmed(self) -> dict[str, tuple[Path, Container]]:
        """The entries without what is as it is by default."""
        return {str(path): (path, entry) for path, entry in _walk(_trimmed(self.loaded), Path(), strict=True)}


def read_xml(schema: Schema, config: etree._Element) -> Container:
    """The tree of a <config> or <data> element, as far as it is configuration."""
    return config_only(Editor(state_allowed=True).run(empty(schema), config))


def entries(schema: Schema, tree: Tree) -> dict[str, Container]:
    """Owned entries by their identifiers, in the order of the tree; ValueError if there is anything else in it."""
    return {name: entry for name, (_, entry) in Wanted(tree, schema).entries.items()}


def _walk(container: Container, path: Path, *, strict: bool) -> Iterator[tuple[Path, Container]]:
    """The outermost list entries; ``strict`` raises ValueError for what stands beside them."""
    for node_schema, node in container.children.items():
        if isinstance(node, List) and node_schema.keys:
            for key, entry in node.entries.items():
                if isinstance(entry, Container):
                    yield path.child(node_schema, key), entry
        elif isinstance(node, Container):
            yield from _walk(node, path.child(node_schema), strict=strict)
        elif strict:
            raise ValueError(f"{path.child(node_schema)} is no list entry: only those can be owned")


def edit(
    owned: Iterable[str], intended: Tree, schema: Schema, actual: Tree | None = None, *, hidden: bool = False
) -> str:
    """A <config> that makes the owned entries be the intended ones (``changes_of``)."""
    there = None if actual is None else _read(schema, actual)
    return etree.tostring(changes_of(owned, Wanted(intended, schema), there, hidden=hidden), encoding="unicode")


def changes_of(
    owned: Iterable[str], wanted: Wanted, actual: Container | None = None, *, hidden: bool = False
) -> etree._Element:
    """A <config> that makes the owned entries be the wanted ones (RFC 6241, section 7.2).

    Each wanted entry is replaced, and each formerly owned one that is not wanted is removed. With the ``actual``
    configuration, entries that are right already are left out. ``hidden``: without secrets, for people.
    """
    keep = wanted.keys if actual is None else {found.entry for found in _differences(wanted, actual)}
    root = etree.Element(f"{{{NC}}}config", nsmap={"nc": NC})
    for name, (path, entry) in wanted.entries.items():
        if name in keep:
            _put(root, path, public(entry) if hidden else entry)
    gone = sorted(set(owned) - wanted.keys)
    present = None if actual is None or not gone else {str(path) for path, _ in _walk(actual, Path(), strict=False)}
    for name in gone:
        if present is None or name in present:
            _take_away(root, wanted.schema, name)
    return root


def entry_xml(entry: Container) -> str:
    """An entry as XML."""
    return treexml.dump_node(entry)


def public_xml(entry: Container) -> str:
    """An entry as XML for people: without what nobody reads back."""
    return treexml.dump_node(public(entry))


def _put(root: etree._Element, path: Path, entry: Container) -> None:
    """Add an entry at its place, to be replaced."""
    place = root
    for node, _ in path.steps[:-1]:
        place = _inside(place, node)
    # The namespace is printed where it changes only.
    element = etree.fromstring(f'<x xmlns="{entry.schema.namespace}">{entry_xml(entry)}</x>')[0]
    place.append(element)
    element.set(_OPERATION, "replace")


def _take_away(root: etree._Element, schema: Schema, name: str) -> None:
    """Add an entry at its place, to be removed."""
    place, node = root, schema.root
    steps = list(parse(name))
    for prefix, local, _ in steps[:-1]:
        node = _child(node, prefix, local)
        place = _inside(place, node)
    prefix, local, predicates = steps[-1]
    node = _child(node, prefix, local)
    element = etree.SubElement(place, node.clark, nsmap=_space(node))
    element.set(_OPERATION, "remove")
    for key in node.key_nodes:
        value = predicates[key.name]
        module = schema.modules.get(value.partition(":")[0]) if key.facts.qualified else None
        nsmap = {module.name: module.namespace} if module is not None else None
        leaf: etree._Element = etree.SubElement(element, key.clark, nsmap=nsmap)
        leaf.text = value


def _inside(place: etree._Element, node: SchemaNode) -> etree._Element:
    found = place.find(node.clark)
    return found if found is not None else etree.SubElement(place, node.clark, nsmap=_space(node))


def _space(node: SchemaNode) -> Any:
    # lxml takes None for the default namespace, its stubs do not.
    return {None: node.namespace}


def _child(node: SchemaNode, prefix: str | None, local: str) -> SchemaNode:
    return node.by_json_name[f"{prefix}:{local}" if prefix else local]


def drift(actual: Tree, intended: Tree, schema: Schema) -> list[Difference]:
    """Where owned entries differ from the intended ones; a default that is written out is no difference."""
    return list(_differences(Wanted(intended, schema), _read(schema, actual)))


def _differences(wanted: Wanted, actual: Container) -> Iterator[Difference]:
    there = only(actual, frozenset(schema.json_name for schema in wanted.loaded.children))
    by_name = {str(path): entry for path, entry in _walk(_trimmed(there), Path(), strict=False)}
    for name, (path, entry) in wanted.trimmed.items():
        other = by_name.get(name)
        if other is None:
            yield Difference(name, name, "missing")
        elif entry.recall(_ALIKE) is not other:
            found = [
                Difference(name, str(where), _KINDS.get(operation, "changed"))
                for operation, where in changes(entry, other, path, deep=False)
            ]
            if not found:
                entry.remember(_ALIKE, other)
            yield from found


def _trimmed(tree: Container) -> Container:
    return defaults.apply_mode(tree.schema.schema, tree, "trim")


def _read(schema: Schema, actual: Tree) -> Container:
    return treejson.load(schema, _known(schema.root, actual))


def _known(parent: SchemaNode, actual: Mapping[str, Any]) -> Tree:
    """The configuration as far as this schema knows it: a device may have more modules than its driver names."""
    known: Tree = {}
    for name, value in actual.items():
        node = parent.by_json_name.get(name)
        if node is None or not node.config:
            continue
        if isinstance(value, Mapping):
            known[name] = _known(node, value)
        elif node.kind == "list":
            known[name] = [_known(node, item) for item in value]
        else:
            known[name] = value
    return known

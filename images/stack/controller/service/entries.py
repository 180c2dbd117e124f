"""Owned entries of a device's configuration: written, removed and watched by the controller; the rest is others'.

An owned entry is the outermost list entry on a path (an interface, a static routing protocol, a tenant, a breakout, a
PAD entry, a connection), named by its instance identifier (RFC 7951, section 6.11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lxml import etree
from yangkit import Schema, Tree, defaults, treejson, treexml, xmlutil
from yangkit.diff import changes
from yangkit.edit import Editor
from yangkit.paths import Path, parse
from yangkit.schema import SchemaNode
from yangkit.tree import Container, List, empty

from controller.service.secrets import public

Keys = frozenset[str]
Kind = Literal["missing", "unexpected", "changed"]

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


def from_xml(schema: Schema, config: etree._Element | str | bytes) -> Tree:
    """The tree of a <config> or <data> element, or of what stands in one."""
    if not isinstance(config, etree._Element):
        text = config if isinstance(config, bytes) else config.encode()
        config = xmlutil.parse(text)
    return treejson.dump(Editor(state_allowed=True).run(empty(schema), config))


def owned_keys(tree: Tree, schema: Schema) -> Keys:
    """The entries of a tree."""
    return frozenset(entries(schema, tree))


def entries(schema: Schema, tree: Tree) -> dict[str, Container]:
    """Owned entries by their identifiers, in the order of the tree; ValueError if there is anything else in it."""
    return {str(path): entry for path, entry in _walk(treejson.load(schema, tree), Path(), strict=True)}


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
    """A <config> that makes the owned entries be the intended ones (RFC 6241, section 7.2).

    Each wanted entry is replaced, and each formerly owned one that is not wanted is removed. With the ``actual``
    configuration, entries that are right already are left out. ``hidden``: without secrets, for people.
    """
    wanted = entries(schema, intended)
    keep = set(wanted) if actual is None else {d.entry for d in drift(actual, intended, schema)}
    present = None if actual is None else set(_present(schema, actual))
    root = etree.Element(f"{{{NC}}}config", nsmap={"nc": NC})
    for name, entry in wanted.items():
        if name in keep:
            _put(root, schema, name, public(entry) if hidden else entry)
    for name in sorted(set(owned) - set(wanted)):
        if present is None or name in present:
            _put(root, schema, name, None)
    return etree.tostring(root, encoding="unicode")


def is_empty_edit(config: str) -> bool:
    """Does this edit change nothing?"""
    return len(etree.fromstring(config)) == 0


def entry_xml(entry: Container) -> str:
    """An entry as XML."""
    return treexml.dump_node(entry)


def public_xml(entry: Container) -> str:
    """An entry as XML for people: without what nobody reads back."""
    return treexml.dump_node(public(entry))


def _put(root: etree._Element, schema: Schema, name: str, entry: Container | None) -> None:
    """Add an entry at its place, to be replaced, or to be removed when there is none."""
    place, node = root, schema.root
    steps = list(parse(name))
    for prefix, local, _ in steps[:-1]:
        node = _child(node, prefix, local)
        found = place.find(node.clark)
        place = found if found is not None else etree.SubElement(place, node.clark, nsmap=_space(node))
    prefix, local, predicates = steps[-1]
    node = _child(node, prefix, local)
    if entry is not None:
        element = etree.fromstring(entry_xml(entry))
        if element.tag != node.clark:  # the namespace is printed where it changes
            element = etree.fromstring(f'<x xmlns="{node.namespace}">{entry_xml(entry)}</x>')[0]
        place.append(element)
        element.set(_OPERATION, "replace")
        return
    element = etree.SubElement(place, node.clark, nsmap=_space(node))
    element.set(_OPERATION, "remove")
    for key in node.key_nodes:
        value = predicates[key.name]
        module = schema.modules.get(value.partition(":")[0]) if key.facts.qualified else None
        nsmap = {module.name: module.namespace} if module is not None else None
        leaf: etree._Element = etree.SubElement(element, key.clark, nsmap=nsmap)
        leaf.text = value


def _space(node: SchemaNode) -> Any:
    # lxml takes None for the default namespace, its stubs do not.
    return {None: node.namespace}


def _child(node: SchemaNode, prefix: str | None, local: str) -> SchemaNode:
    return node.by_json_name[f"{prefix}:{local}" if prefix else local]


def drift(actual: Tree, intended: Tree, schema: Schema) -> list[Difference]:
    """Where owned entries differ from the intended ones; a default that is written out is no difference."""
    wanted = _trimmed(schema, intended)
    there = _trimmed(schema, _known(schema.root, actual, intended))
    by_name = {str(path): entry for path, entry in _walk(there, Path(), strict=False)}
    found: list[Difference] = []
    for path, entry in _walk(wanted, Path(), strict=True):
        name = str(path)
        other = by_name.get(name)
        if other is None:
            found.append(Difference(name, name, "missing"))
            continue
        for operation, where in changes(entry, other, path, deep=False):
            found.append(Difference(name, str(where), _KINDS.get(operation, "changed")))
    return found


def _present(schema: Schema, actual: Tree) -> Iterator[str]:
    """Identifiers of the entries that a device has, whosever they are."""
    for path, _ in _walk(treejson.load(schema, _known(schema.root, actual, None)), Path(), strict=False):
        yield str(path)


def _trimmed(schema: Schema, tree: Tree) -> Container:
    return defaults.apply_mode(schema, treejson.load(schema, tree), "trim")


def _known(parent: SchemaNode, actual: Mapping[str, Any], like: Mapping[str, Any] | None) -> Tree:
    """The configuration as far as this schema knows it: a device may have more modules than its driver names.

    With ``like``, only top-level nodes that are there, too.
    """
    known: Tree = {}
    for name, value in actual.items():
        node = parent.by_json_name.get(name)
        if node is None or not node.config or (like is not None and name not in like):
            continue
        if isinstance(value, Mapping):
            known[name] = _known(node, value, None)
        elif node.kind == "list":
            known[name] = [_known(node, item, None) for item in value]
        else:
            known[name] = value
    return known

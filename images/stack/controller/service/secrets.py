"""Leaves that nobody reads back (RFC 8341, section 4: ``default-deny-all``): shared keys."""

from __future__ import annotations

from typing import Any

from yangkit import Schema, Tree
from yangkit.schema import SchemaNode
from yangkit.tree import Container, List, Node


def public(entry: Container) -> Container:
    """The same without secrets, for people and records."""
    children: dict[SchemaNode, Node] = {}
    for schema, node in entry.children.items():
        if schema.secret:
            continue
        if isinstance(node, Container):
            children[schema] = public(node)
        elif isinstance(node, List):
            entries: dict[Any, Any] = {
                key: public(one) if isinstance(one, Container) else one for key, one in node.entries.items()
            }
            children[schema] = List(schema, entries)
        else:
            children[schema] = node
    return Container(entry.schema, children)


def revealed(actual: Tree, written: Tree | None, schema: Schema) -> Tree:
    """A device's configuration with the secrets that it does not tell as we wrote them last; without them, when we do
    not know: then they are written again, which changes nothing for the device if they are right."""
    return actual if written is None else _filled(actual, written, schema.root)


def _filled(actual: Tree, written: Tree, parent: SchemaNode) -> Tree:
    filled = dict(actual)
    for name, ours in written.items():
        node = parent.by_json_name[name]
        theirs = actual.get(name)
        if node.secret:
            filled.setdefault(name, ours)
        elif theirs is not None and node.kind == "container":
            filled[name] = _filled(theirs, ours, node)
        elif theirs is not None and node.kind == "list":
            known = {_key(one, node): one for one in ours}
            filled[name] = [_entry(one, known.get(_key(one, node)), node) for one in theirs]
    return filled


def _entry(theirs: Tree, ours: Tree | None, node: SchemaNode) -> Tree:
    return theirs if ours is None else _filled(theirs, ours, node)


def _key(entry: Tree, node: SchemaNode) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in node.keys)

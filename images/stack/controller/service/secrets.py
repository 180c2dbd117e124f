"""Leaves that nobody reads back (RFC 8341, section 4: ``default-deny-all``): shared keys."""

from __future__ import annotations

from typing import Any

from yangkit.schema import SchemaNode
from yangkit.tree import Container, Leaf, List, Node, instances


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


def revealed(actual: Container, written: Container | None) -> Container:
    """A device's configuration with the secrets that it does not tell as we wrote them last; without them, when we do
    not know: then they are written again, which changes nothing for the device if they are right."""
    return actual if written is None or not _has_secret(written) else _filled(actual, written)


_HAS = "has-secret"


def _has_secret(entry: Container) -> bool:
    known = entry.recall(_HAS)
    if not isinstance(known, bool):
        known = any(
            schema.secret or any(_has_secret(one) for one in instances(node) if isinstance(one, Container))
            for schema, node in entry.children.items()
        )
        entry.remember(_HAS, known)
    return known


def _filled(actual: Container, written: Container) -> Container:
    filled = dict(actual.children)
    for schema, ours in written.children.items():
        theirs = actual.children.get(schema)
        if schema.secret:
            filled.setdefault(schema, ours)
        elif isinstance(theirs, Container) and isinstance(ours, Container):
            filled[schema] = _filled(theirs, ours)
        elif isinstance(theirs, List) and isinstance(ours, List):
            filled[schema] = List(
                schema, {key: _entry(one, ours.entries.get(key)) for key, one in theirs.entries.items()}
            )
    return Container(actual.schema, filled)


def _entry(theirs: Container | Leaf, ours: Container | Leaf | None) -> Container | Leaf:
    return _filled(theirs, ours) if isinstance(theirs, Container) and isinstance(ours, Container) else theirs

"""GET and HEAD on the datastore and on data resources (RFC 8040, sections 4.2, 4.3, 4.8)."""

from __future__ import annotations

from yangkit.restconf.query import Fields
from yangkit.restconf.resources import Instance
from yangkit.schema import SchemaNode
from yangkit.tree import AnyData, Container, Leaf, List, Node, is_empty

_UNBOUNDED = 1 << 30


def shape(node: Instance, depth: int | None, chosen: Fields | None) -> Instance:
    """The part of a target that ``depth`` and ``fields`` ask for."""
    limit = depth or _UNBOUNDED
    if chosen is None and depth is None:
        return node
    if isinstance(node, List):
        entries = {k: _cut(e, limit, chosen) if isinstance(e, Container) else e for k, e in node.entries.items()}
        return List(node.schema, entries)
    return _cut(node, limit, chosen) if isinstance(node, Container) else node


def _cut(node: Container, depth: int, chosen: Fields | None) -> Container:
    """One instance at level 1: chosen nodes and those above them stay at level 1 (section 4.8.3)."""
    keys = node.schema.key_nodes if node.schema.keys else ()
    children: dict[SchemaNode, Node] = {}
    for schema, child in node.children.items():
        if chosen is None:
            if schema in keys:
                children[schema] = child
            elif depth > 1:
                children[schema] = _below(child, depth - 1, None)
        elif schema in chosen:
            children[schema] = _below(child, depth, chosen[schema] or None)
        elif schema in keys:
            children[schema] = child
    return Container(node.schema, children)


def _below(child: Node, depth: int, chosen: Fields | None) -> Node:
    if isinstance(child, Container):
        return _cut(child, depth, chosen)
    if isinstance(child, List) and child.schema.kind == "list":
        return List(
            child.schema, {k: _cut(e, depth, chosen) for k, e in child.entries.items() if isinstance(e, Container)}
        )
    return child


def nonconfig(node: Instance) -> Instance | None:
    """State data, with the keys and containers on the way to it; None when there is none in a leaf or entry."""
    if not node.schema.config:
        return node
    if isinstance(node, Leaf | AnyData):
        return None
    if isinstance(node, List):
        entries = {k: kept for k, e in node.entries.items() if isinstance(kept := nonconfig(e), Container)}
        kept_entries = {k: e for k, e in entries.items() if has_state(e)}
        return List(node.schema, kept_entries) if kept_entries else None  # type: ignore[arg-type]
    children: dict[SchemaNode, Node] = {}
    for schema, child in node.children.items():
        kept = nonconfig(child)
        if kept is not None and not is_empty(kept) and has_state(kept):
            children[schema] = kept
    keys = {k: node.children[k] for k in node.schema.key_nodes} if node.schema.keys else {}
    return Container(node.schema, keys | children)


def has_state(node: Instance) -> bool:
    """Is there state data in it?"""
    if not node.schema.config:
        return True
    if isinstance(node, List):
        return any(has_state(entry) for entry in node.entries.values())
    return isinstance(node, Container) and any(has_state(child) for child in node.children.values())

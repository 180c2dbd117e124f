"""Lists whose order is the user's: the attributes insert, key and value (RFC 7950, sections 7.7.9 and 7.8.6)."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from yangkit.errors import RpcError
from yangkit.paths import Path, parse
from yangkit.schema import SchemaNode
from yangkit.tree import Container, Key, Leaf
from yangkit.xmlutil import YANG1

_INSERT, _KEY, _VALUE = (f"{{{YANG1}}}{name}" for name in ("insert", "key", "value"))
Entries = dict[Key, Container | Leaf]


@dataclass(frozen=True)
class Place:
    """Where an entry goes: first, last, before or after another one."""

    where: str
    anchor: Key | None = None
    attribute: str = "key"


def place_of(schema: SchemaNode, element: etree._Element, here: Path) -> Place | None:
    """What the attributes of an element ask for; None when they ask for nothing."""
    insert = element.get(_INSERT)
    attribute = "value" if schema.kind == "leaf-list" else "key"
    anchor = element.get(_VALUE if attribute == "value" else _KEY)
    if insert is None:
        return None
    if insert not in ("first", "last", "before", "after"):
        raise _bad("bad-attribute", "insert", here, f"{insert!r} is no place to insert at")
    if insert in ("first", "last"):
        return Place(str(insert))
    if anchor is None:
        raise _bad("missing-attribute", attribute, here, f"insert={insert!r} needs the attribute {attribute}")
    try:
        key = _anchor_value(schema, element, anchor) if attribute == "value" else _anchor_key(schema, element, anchor)
    except (RpcError, ValueError, KeyError) as error:
        raise _bad("bad-attribute", attribute, here, f"{anchor!r} names no entry: {error}") from None
    return Place(str(insert), key, attribute)


def _anchor_value(schema: SchemaNode, element: etree._Element, text: str) -> Key:
    return (schema.schema.canonical_xml(schema, text, dict(element.nsmap))[0],)


def _anchor_key(schema: SchemaNode, element: etree._Element, text: str) -> Key:
    ((_, _, predicates),) = parse("/x" + "".join(text.split("\n")).strip())
    if set(predicates) != set(schema.keys):
        raise ValueError(f"the keys of {schema.name} are {', '.join(schema.keys)}")
    nsmap = dict(element.nsmap)
    return tuple(schema.schema.canonical_xml(node, predicates[node.name], nsmap)[0] for node in schema.key_nodes)


def insert(entries: Entries, key: Key, node: Container | Leaf, place: Place | None, here: Path) -> Entries:
    """The entries with this one at its place; without a place it stays where it is."""
    if place is None or (place.where == "last" and key not in entries):
        return {**entries, key: node}
    others = {k: entry for k, entry in entries.items() if k != key}
    if place.where == "last":
        return {**others, key: node}
    if place.where == "first":
        return {key: node, **others}
    if place.anchor not in others:
        error = _bad("bad-attribute", place.attribute, here, "the entry to insert at does not exist")
        error.app_tag = "missing-instance"  # RFC 7950, section 15.7
        raise error
    placed: Entries = {}
    for other, entry in others.items():
        if other == place.anchor and place.where == "before":
            placed[key] = node
        placed[other] = entry
        if other == place.anchor and place.where == "after":
            placed[key] = node
    return placed


def _bad(tag: str, attribute: str, here: Path, message: str) -> RpcError:
    where, spaces = here.xpath()
    info = {"bad-attribute": attribute, "bad-element": here.steps[-1][0].name}
    return RpcError(tag, message, path=where, path_namespaces=spaces, info=info)

"""A candidate that somebody works on, when running becomes another one without it.

NETCONF's commit makes running a copy of the candidate (RFC 6241, section 8.3.4.1); what RESTCONF has put into running
and acknowledged meanwhile (RFC 8040, section 1.4) would be lost with it. So the candidate is carried over: it has what
running has become, and on it what was changed in it. Where both changed the same, the candidate's word stands, for its
owner sees it and may still discard it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from yangkit.schema import SchemaNode
from yangkit.tree import Container, Key, List, Node, is_empty

K = TypeVar("K", SchemaNode, Key)


def rebase(base: Container, theirs: Container, ours: Container) -> Container:
    """``ours``, which began as ``base``, on top of what that has become. Trees are not validated: a commit does so."""
    if theirs is base or ours is base:
        return ours if theirs is base else theirs
    return Container(ours.schema, _all(base.children, theirs.children, ours.children))


def _node(base: Node | None, theirs: Node | None, ours: Node | None) -> Node | None:
    if _same(base, theirs):
        return ours
    if _same(base, ours):
        return theirs
    some = theirs or ours
    if isinstance(some, List):
        return _list(*(node if isinstance(node, List) else List(some.schema, {}) for node in (base, theirs, ours)))
    if isinstance(some, Container) and some.schema.is_np_container:  # whether it is there or not means nothing
        before, first, second = (_children(node) for node in (base, theirs, ours))
        return Container(some.schema, _all(before, first, second))
    if isinstance(theirs, Container) and isinstance(ours, Container):
        return Container(ours.schema, _all(_children(base), theirs.children, ours.children))
    return ours


def _children(node: Node | None) -> dict[SchemaNode, Node]:
    return node.children if isinstance(node, Container) else {}


def _same(one: Node | None, other: Node | None) -> bool:
    return one is other or (one is not None and one.same(other))


def _all(base: Mapping[K, Node], theirs: Mapping[K, Node], ours: Mapping[K, Node]) -> dict[K, Node]:
    found = {key: _node(base.get(key), theirs.get(key), ours.get(key)) for key in {**theirs, **ours}}
    return {key: node for key, node in found.items() if node is not None and not is_empty(node)}


def _list(base: List, theirs: List, ours: List) -> List:
    entries = _all(base.entries, theirs.entries, ours.entries)
    kept = [key for key in base.entries if key in ours.entries]
    moved = [key for key in ours.entries if key in base.entries] != kept
    first, second = (ours, theirs) if moved else (theirs, ours)
    order = _order(first.entries, second.entries)
    return List(ours.schema, {key: entries[key] for key in order if key in entries})  # type: ignore[misc]


def _order(first: Iterable[Key], second: Iterable[Key]) -> list[Key]:
    """The first's order; what only the second has comes after what it has there before it."""
    order = list(first)
    known = set(order)
    place = 0
    for key in second:
        if key in known:
            place = order.index(key) + 1
        else:
            order.insert(place, key)
            place += 1
    return order

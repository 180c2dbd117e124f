"""What leads from an entry of a configuration to another: values, and what it depends on where they lead.

A *home* is an outermost list. A link is of a schema node; of each of its instances it tells the values that name what
it leads to, and of a changed entry there the values of which what was true before may be true no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yangkit.libyang_constraints import constraints
from yangkit.tree import Container, Key, Leaf, Node, instances

if TYPE_CHECKING:
    from yangkit.schema import SchemaNode

Path = tuple["SchemaNode", ...]
"""Nodes, each a child of the one before."""


@dataclass(frozen=True)
class Aim:
    """A plain leafref: it leads to a leaf that has its value."""

    home: SchemaNode
    leaf: SchemaNode

    @property
    def by_key(self) -> bool:
        """Does its value name the entry?"""
        return self.home.key_nodes == (self.leaf,)

    def values(self, instance: Sequence[Node]) -> Iterator[str]:
        """``instance`` is the last of these, each of which is in the one before."""
        if isinstance(instance[-1], Leaf):
            yield instance[-1].value

    def lost(self, key: Key, before: Node | None, after: Node | None) -> set[str]:
        way = way_down(self.leaf, self.home)
        return set(_values(before, way)) - set(_values(after, way))


@dataclass(frozen=True)
class Look:
    """A *must* that looks into the entry which has a value of its own as the key."""

    home: SchemaNode
    up: int
    """How far from its node to the one that the value is in."""
    way: Path
    """From there to the value."""
    seen: frozenset[Path]
    """What it may see in the entry: all that is at the end of these."""

    by_key = True

    def values(self, instance: Sequence[Node]) -> Iterator[str]:
        """``instance`` is the last of these, each of which is in the one before."""
        yield from _values(instance[-1 - self.up], self.way)

    def lost(self, key: Key, before: Node | None, after: Node | None) -> set[str]:
        same = (before is None) == (after is None) and all(_alike(before, after, path) for path in self.seen)
        return set() if same else {key[0]}


Link = Aim | Look


@dataclass(frozen=True)
class Target:
    """Where a path from the root leads: into a home, there into the entry with this key, if it has one, and on."""

    home: SchemaNode
    key: tuple[str, Sequence[str]] | None
    """The name of the home's one key, and the path to its value from the node that looks."""
    inside: Path
    content: bool
    """Does it matter what is there, and not only whether it is?"""

    @property
    def end(self) -> SchemaNode:
        return self.inside[-1] if self.inside else self.home

    @property
    def is_written(self) -> bool:
        """Is it in no entry that says nothing of it?"""
        return any(not node.is_np_container and not constraints(node.handle).implied for node in self.inside)


def named(children: Mapping[str, SchemaNode], name: str) -> SchemaNode | None:
    """The one child of this name, whatever its prefix is; None: there are several, or none."""
    found = [child for child in children.values() if child.name == name]
    return found[0] if len(found) == 1 else None


def look(node: SchemaNode, own: SchemaNode | None, target: Target, seen: frozenset[Path]) -> Look | None:
    """Of a node in this home, or in none. None: into which entry is not said, or not by its own."""
    if target.key is None:
        return None
    path = target.key[1]
    up = sum(1 for name in path if name == "..")
    scope: SchemaNode | None = node
    for _ in range(up):
        scope = scope.parent if scope is not None else None
    if scope is None or (own is not None and own not in upwards(scope)):
        return None
    way: list[SchemaNode] = []
    for name in path[up:]:
        scope = named(scope.children, name) if scope is not None else None
        if scope is not None:
            way.append(scope)
    if scope is None or scope.kind not in ("leaf", "leaf-list") or len(way) != len(path) - up:
        return None
    own = target.home.key_nodes[0]
    # Names of identities and instances have prefixes, which an XPath does not see as they are here.
    if own.facts.qualified or scope.facts.qualified or constraints(scope.handle).implied:
        return None
    return Look(target.home, up, tuple(way), seen)


def upwards(node: SchemaNode) -> list[SchemaNode]:
    """The node and those above it, but for the root."""
    found = []
    while node.parent is not None:
        found.append(node)
        node = node.parent
    return found


def way_down(node: SchemaNode, above: SchemaNode) -> Path:
    """From one that is above it."""
    way = upwards(node)
    return tuple(way[: way.index(above)][::-1])


def _values(node: Node | None, way: Sequence[SchemaNode]) -> Iterator[str]:
    """Those of the leafs at the end of a way down."""
    return (one.value for one in _ends(node, way) if isinstance(one, Leaf))


def _ends(node: Node | None, way: Sequence[SchemaNode]) -> Iterator[Node]:
    if not way:
        if node is not None:
            yield from instances(node)
    elif isinstance(node, Container) and (child := node.children.get(way[0])) is not None:
        for one in instances(child):
            yield from _ends(one, way[1:])


def alike(one: Node | None, other: Node | None) -> bool:
    """Both there and equal, or neither there."""
    return one is other or (one is not None and one.same(other))


def _alike(before: Node | None, after: Node | None, way: Path) -> bool:
    one, other = list(_ends(before, way)), list(_ends(after, way))
    return len(one) == len(other) and all(map(alike, one, other))

"""What a schema's constraints see of a configuration: which lists as a whole, which entries of others, by which links.

A *home* is an outermost list. A list in it is *inner* when nothing sees more than one of its entries at once: an entry
of the home that stays as it is may be looked at without those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from yangkit.libyang_constraints import Constraints, Expression, address, constraints
from yangkit.links import Aim, Link, Path, Target, look, named, upwards, way_down
from yangkit.xpathreach import Sight, Way, names, sight

if TYPE_CHECKING:
    from yangkit.schema import Schema, SchemaNode

_MOUNT = "ietf-yang-schema-mount:mount-point"
_DATA = frozenset({"container", "list", "leaf", "leaf-list", "anydata"})


class Rules:
    """Those of a schema."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema.root
        nodes = [node for top in schema.root.children.values() for node in _all(top)]
        self.by_handle = {address(node.handle): node for node in nodes}
        self.homes = {node for node in nodes if node.kind == "list" and home(node) is node}
        #: Those that are taken as a whole: something sees more than one entry, or whether there is any.
        self.whole = {node for node in self.homes if any(above.cases for above in upwards(node))}
        #: Of others, which entries are taken, whatever has changed: those that have one of these children.
        self.having: dict[SchemaNode, set[SchemaNode]] = {}
        self.links: dict[SchemaNode, list[Link]] = {}
        self.inner = {node for node in nodes if _may_be_inner(node)}
        for node in nodes:
            self._read(node, constraints(node.handle))

    def _read(self, node: SchemaNode, said: Constraints) -> None:
        if said.boundless or _MOUNT in node.facts.extensions:
            self._sees_all()
        if said.counts:
            self.whole |= {node} & self.homes
            self.inner.discard(node)
        # What is there without being written says nothing of itself in a tree.
        written = not said.implied and not node.is_np_container
        for expression in said.expressions:
            self._read_expression(node, expression, written)
        if said.refers is not None:
            self._read_reference(node, said)

    def _read_reference(self, node: SchemaNode, said: Constraints) -> None:
        """A plain leafref."""
        found = sight(said.path)
        seen = self.homes if found is None or found.ways else self._seen(node, found.levels)
        target = self.by_handle.get(address(said.refers))
        if target is None:
            self._sees_all()
            return
        self.inner -= set(upwards(target))
        if constraints(target.handle).implied:
            self._sees(node, seen)
        elif seen and (place := home(target)) is not None:
            self.links.setdefault(node, []).append(Aim(place, target))

    def _read_expression(self, node: SchemaNode, expression: Expression, written: bool) -> None:
        found = sight(expression.text)
        if found is None:
            self._sees_all()
            return
        levels = expression.above + found.levels
        self._sees(node, self._seen(node, levels))
        self.inner -= self._seen_inside(node, levels, found)
        known = expression.of_instances and written and not expression.above
        for way in found.ways:
            target = self._target(way)
            if target is None or not known:
                self._sees_all()
            else:
                self._read_target(node, target)

    def _read_target(self, node: SchemaNode, target: Target) -> None:
        """A *must* that looks into entries of a home by a path from the root."""
        seen = _conditioned(target)
        ends = {path[-1] if path else target.home for path in seen}
        if not target.content:
            ends.discard(target.end)
        over = {one for path in seen for one in path}
        self.inner -= {one for one in self.inner if one in over or not ends.isdisjoint(upwards(one))}
        own = home(node)
        if (link := look(node, own, target, seen)) is not None:
            self.links.setdefault(node, []).append(link)
            return
        self.inner -= set(upwards(node))  # all that look are asked again
        if target.is_written:
            self.having.setdefault(target.home, set()).add(target.inside[0])
        else:
            self.whole.add(target.home)
        if own is node:
            self.whole.add(own)
        elif own is not None:
            self.having.setdefault(own, set()).add(way_down(node, own)[0])

    def _sees(self, node: SchemaNode, homes: set[SchemaNode]) -> None:
        """A node sees more than one entry of these: it is asked again whatever changes there."""
        if homes:
            self.whole |= homes
            self.inner -= set(upwards(node))

    def _sees_all(self) -> None:
        self.whole |= self.homes
        self.inner.clear()

    def _seen(self, node: SchemaNode, levels: int) -> set[SchemaNode]:
        """The homes of which one sees more than the entry that it is in, by what is so many levels above."""
        scope = _above(node, levels)
        if scope is None:
            return self.homes
        return set() if home(scope) is not None else {one for one in self.homes if scope in upwards(one)}

    def _seen_inside(self, node: SchemaNode, levels: int, found: Sight) -> set[SchemaNode]:
        """The inner lists of which it sees more than the entry that it is in."""
        scope = _above(node, levels)
        seen = set()
        for one in self.inner:
            above = upwards(one)
            if scope is not None and scope not in above[1:]:
                continue
            between = above if scope is None else above[: above.index(scope)]
            if found.names is None or any(step.name in found.names for step in between):
                seen.add(one)
        return seen

    def _target(self, way: Way) -> Target | None:
        """None: it may lead elsewhere than into a home."""
        node, nodes, key, content = self._root, [], None, way.content
        for step in way.steps:
            child = named(node.children, step.name)
            if child is None or child.kind not in _DATA:
                return None
            node = child
            nodes.append(node)
            if step.key is None:
                continue
            if node in self.homes and [one.name for one in node.key_nodes] == [step.key[0]]:
                key = step.key
            else:  # chosen by what is in it
                content = True
                break
        place = next((place for place, one in enumerate(nodes) if one in self.homes), None)
        return None if place is None else Target(nodes[place], key, tuple(nodes[place + 1 :]), content)


def home(node: SchemaNode) -> SchemaNode | None:
    """The outermost list that it is or is in."""
    return next((above for above in reversed(upwards(node)) if above.kind == "list"), None)


def _all(node: SchemaNode) -> Iterator[SchemaNode]:
    """A node of configuration, and all below it."""
    if node.config and node.kind in _DATA:
        yield node
        for child in node.children.values():
            yield from _all(child)


def _above(node: SchemaNode, levels: int) -> SchemaNode | None:
    """None: the root, or beyond."""
    scope: SchemaNode | None = node
    for _ in range(levels):
        scope = scope.parent if scope is not None else None
    return None if scope is None or scope.kind == "root" else scope


def _may_be_inner(node: SchemaNode) -> bool:
    """A list in a home, but for lists in it and whatever a choice may take away."""
    way = upwards(node)
    lists = [above for above in way if above.kind in ("list", "leaf-list")]
    return len(lists) == 2 and lists[0] is node and not any(above.cases for above in way[: way.index(lists[1])])


def _conditioned(target: Target) -> frozenset[Path]:
    """What may be seen by a path in an entry of its home: that, and what by a *when* decides whether it is there."""
    if not target.inside:
        return frozenset({()} if target.content else ())
    found = {target.inside}
    new = [target.inside]
    while new:
        path = new.pop()
        for node in (*path[:-1], *_all(path[-1])):
            for expression in constraints(node.handle).expressions:
                if expression.of_instances:
                    continue
                said = names(expression.text)
                if said is None:
                    return frozenset({()})
                inside = (one for one in _all(target.home) if one is not target.home and one.name in said)
                more = {way_down(one, target.home) for one in inside} - found
                found |= more
                new += more
    return frozenset(found)

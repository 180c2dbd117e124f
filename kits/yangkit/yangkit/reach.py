"""How far a change reaches: the part of a configuration that is to be validated, when what was there before was valid.

A configuration is the entries of its outermost lists, and the *rest*: what is in none of them. Each constraint of the
schema is of one of these kinds:

- It sees one entry and nothing else, or the rest and nothing else. The rest is always in the part, and a changed entry
  is, too; an entry that has not changed is as valid as it was.
- It is a plain leafref from one of them to another. The part has the entries that are referred to from what is in it.
  Where something is lost that may be referred to, or the rest has changed, the part is all.
- It is anything else: then the lists that it may see, and the one that it is in, are in the part as a whole.

So what is in the part sees there what it would see in the whole, and what is not in it has not changed and sees
nothing that has. A valid part makes a valid whole. A part that is not valid says nothing: only the whole tells why.

The input of an RPC is held against a part as well: what its references lead to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yangkit.libyang_constraints import Constraints, Expression, address, constraints, is_restricted
from yangkit.tree import Container, Key, Leaf, List, Node, instances, is_empty
from yangkit.xpathreach import climb

if TYPE_CHECKING:
    from yangkit.schema import Schema, SchemaNode

_MOUNT = "ietf-yang-schema-mount:mount-point"
_DATA = frozenset({"container", "list", "leaf", "leaf-list", "anydata"})
_NOTHING: Mapping[SchemaNode, Node] = {}


@dataclass(frozen=True)
class _Aim:
    """Where a plain leafref leads: to a leaf in an outermost list."""

    home: SchemaNode
    leaf: SchemaNode

    @property
    def by_key(self) -> bool:
        """Does its value name the entry?"""
        return self.home.key_nodes == (self.leaf,)


@dataclass
class _Part:
    """What is taken of a tree: entries by their lists."""

    tree: Container
    taken: dict[SchemaNode, dict[Key, Container | Leaf]] = field(default_factory=dict)
    #: Those whose references were not followed yet.
    new: list[Container] = field(default_factory=list)

    def take(self, schema: SchemaNode, key: Key, entry: Container | Leaf | None) -> None:
        known = self.taken.setdefault(schema, {})
        if key not in known and isinstance(entry, Container):
            known[key] = entry
            self.new.append(entry)


class Reach:
    """What a schema says of it."""

    def __init__(self, schema: Schema) -> None:
        nodes = [node for top in schema.root.children.values() for node in _all(top)]
        self._by_handle = {address(node.handle): node for node in nodes}
        self._lists = {node for node in nodes if node.kind == "list" and _home(node) is node}
        self._above = {above for node in self._lists for above in _upwards(node)} - self._lists
        #: Those that are taken as a whole: something sees more than one entry, or whether there is any.
        self.whole = {node for node in self._lists if any(above.cases for above in _upwards(node))}
        self._aims: dict[SchemaNode, _Aim] = {}
        for node in nodes:
            self._read(node, constraints(node.handle))
        self._ways = {above for node in self._aims for above in _upwards(node)}
        self._aimed_at: dict[SchemaNode, set[SchemaNode]] = {}
        for aim in self._aims.values():
            self._aimed_at.setdefault(aim.home, set()).add(aim.leaf)
        self._inputs: dict[SchemaNode, Mapping[SchemaNode, _Aim] | None] = {}

    def _read(self, node: SchemaNode, said: Constraints) -> None:
        if said.boundless or _MOUNT in node.facts.extensions:
            self.whole |= self._lists
        if said.counts and node in self._lists:
            self.whole.add(node)
        for expression in said.expressions:
            self.whole |= self._seen(node, expression)
        if said.refers is None:
            return
        seen = self._seen(node, Expression(said.path))
        target = self._by_handle.get(address(said.refers))
        if target is None or constraints(target.handle).implied:
            self.whole |= seen
        elif seen and (home := _home(target)) is not None:
            self._aims[node] = _Aim(home, target)

    def _seen(self, node: SchemaNode, expression: Expression) -> set[SchemaNode]:
        """The lists of which it may see more than the entry that it is in."""
        levels = climb(expression.text)
        if levels is None:
            return self._lists
        scope: SchemaNode | None = node
        for _ in range(expression.above + levels):
            scope = scope.parent if scope is not None else None
        if scope is None or scope.kind == "root":
            return self._lists
        return set() if _home(scope) is not None else {one for one in self._lists if scope in _upwards(one)}

    # -- of an RPC ---------------------------------------------------------------------------------------------------

    def context(self, rpc: SchemaNode, given: Container, running: Container) -> Container:
        """What of the configuration the input of an RPC or action can see."""
        if rpc not in self._inputs:
            self._inputs[rpc] = self._input(rpc)
        aims = self._inputs[rpc]
        if aims is None:
            return running
        part = _Part(running)
        for leaf in _leafs(given):
            if aim := aims.get(leaf.schema):
                self._take(part, aim, leaf.value)
        return self._pruned(running, part.taken)

    def _input(self, rpc: SchemaNode) -> Mapping[SchemaNode, _Aim] | None:
        """Where its references lead; None: it may see anything."""
        if rpc.kind != "rpc" or is_restricted(rpc.handle):
            return None
        aims = {}
        for node in _below(rpc):
            said = constraints(node.handle)
            depth = len(_upwards(node)) - 1
            if said.boundless or any(not _within(expression, depth) for expression in said.expressions):
                return None
            if said.refers is None:
                continue
            target = self._by_handle.get(address(said.refers))
            if target is None or constraints(target.handle).implied:
                return None
            if (home := _home(target)) is not None:
                aims[node] = _Aim(home, target)
        return aims

    # -- of a change -------------------------------------------------------------------------------------------------

    def part(self, old: Container, new: Container) -> Container | None:
        """What is to be validated of ``new`` when ``old`` is valid; None: all of it."""
        changed: dict[SchemaNode, dict[Key, tuple[Node | None, Node | None]]] = {}
        if not self._same_rest(old, new, changed):
            return None
        if any(self._loses(schema, *pair) for schema, pairs in changed.items() for pair in pairs.values()):
            return None
        part = _Part(new)
        for schema in self.whole:
            self._take_all(part, schema)
        for schema, pairs in changed.items():
            for key, (_, after) in pairs.items():
                part.take(schema, key, after if isinstance(after, Container) else None)
        self._follow(new, part, self._lists)
        while part.new:
            self._follow(part.new.pop(), part, set())
        return self._pruned(new, part.taken)

    def _same_rest(
        self,
        old: Node | None,
        new: Node | None,
        changed: dict[SchemaNode, dict[Key, tuple[Node | None, Node | None]]],
    ) -> bool:
        """Is all that is in no list as it was? The entries that are not are put into ``changed``."""
        before = old.children if isinstance(old, Container) else _NOTHING
        after = new.children if isinstance(new, Container) else _NOTHING
        for schema in before.keys() | after.keys():
            one, other = before.get(schema), after.get(schema)
            if one is other:
                continue
            if schema in self._lists:
                changed[schema] = _differences(one, other)
            elif schema.is_np_container or (isinstance(one, Container) and isinstance(other, Container)):
                if not self._same_rest(one, other, changed):
                    return False
            elif one is None or not one.same(other):
                return False
        return True

    def _loses(self, schema: SchemaNode, before: Node | None, after: Node | None) -> bool:
        """Has an entry lost a value that something may refer to?"""
        for leaf in self._aimed_at.get(schema, ()):
            way = _upwards(leaf)[: _upwards(leaf).index(schema)][::-1]
            if not set(_values(before, way)) <= set(_values(after, way)):
                return True
        return False

    def _take(self, part: _Part, aim: _Aim, value: str) -> None:
        """What a reference leads to."""
        if aim.by_key:
            part.take(aim.home, (value,), _entries(part.tree, aim.home).get((value,)))
        else:
            self._take_all(part, aim.home)

    def _take_all(self, part: _Part, schema: SchemaNode) -> None:
        for key, entry in _entries(part.tree, schema).items():
            part.take(schema, key, entry)

    def _follow(self, node: Container, part: _Part, but: set[SchemaNode]) -> None:
        """Take what is referred to from a node, but not from these below it."""
        for schema, child in node.children.items():
            if schema not in self._ways or schema in but:
                continue
            for one in instances(child):
                if isinstance(one, Leaf):
                    self._take(part, self._aims[schema], one.value)
                elif isinstance(one, Container):
                    self._follow(one, part, but)

    def _pruned(self, node: Container, taken: Mapping[SchemaNode, dict[Key, Container | Leaf]]) -> Container:
        children: dict[SchemaNode, Node] = {}
        for schema, child in node.children.items():
            kept = child
            if schema in self._lists:
                kept = List(schema, taken.get(schema, {}))
            elif schema in self._above and isinstance(child, Container):
                kept = self._pruned(child, taken)
            if not is_empty(kept):
                children[schema] = kept
        return Container(node.schema, children)


def _all(node: SchemaNode) -> Iterator[SchemaNode]:
    """A node of configuration, and all below it."""
    if node.config and node.kind in _DATA:
        yield node
        for child in node.children.values():
            yield from _all(child)


def _below(node: SchemaNode) -> Iterator[SchemaNode]:
    """All nodes below one, of whatever kind."""
    for child in node.children.values():
        yield child
        yield from _below(child)


def _leafs(node: Container) -> Iterator[Leaf]:
    """All that have values, below a node."""
    for child in node.children.values():
        for one in instances(child):
            if isinstance(one, Leaf):
                yield one
            elif isinstance(one, Container):
                yield from _leafs(one)


def _within(expression: Expression, depth: int) -> bool:
    """Does it see nothing but what is in the node so many levels above its own?"""
    levels = climb(expression.text)
    return levels is not None and expression.above + levels <= depth


def _upwards(node: SchemaNode) -> Sequence[SchemaNode]:
    """The node and those above it, but for the root."""
    found = []
    while node.parent is not None:
        found.append(node)
        node = node.parent
    return found


def _home(node: SchemaNode) -> SchemaNode | None:
    """The outermost list that it is or is in."""
    return next((above for above in reversed(_upwards(node)) if above.kind == "list"), None)


def _entries(tree: Container, schema: SchemaNode) -> dict[Key, Container | Leaf]:
    """Those of an outermost list."""
    node: Node | None = tree
    for step in reversed(_upwards(schema)):
        node = node.children.get(step) if isinstance(node, Container) else None
    return node.entries if isinstance(node, List) else {}


def _differences(old: Node | None, new: Node | None) -> dict[Key, tuple[Node | None, Node | None]]:
    before = old.entries if isinstance(old, List) else {}
    after = new.entries if isinstance(new, List) else {}
    found: dict[Key, tuple[Node | None, Node | None]] = {
        key: (before.get(key), entry) for key, entry in after.items() if before.get(key) is not entry
    }
    return found | {key: (entry, None) for key, entry in before.items() if key not in after}


def _values(node: Node | None, way: Sequence[SchemaNode]) -> Iterator[str]:
    """Those of the leafs at the end of a way down."""
    if isinstance(node, Leaf):
        yield node.value
    elif isinstance(node, Container) and (child := node.children.get(way[0])) is not None:
        for one in instances(child):
            yield from _values(one, way[1:])

"""How far a change reaches: the part of a configuration that is to be validated, when what was there before was valid.

A configuration is the entries of its outermost lists, and the *rest*: what is in none of them. Each constraint of the
schema is of one of these kinds:

- It sees one entry and nothing else, or the rest and nothing else. The rest is always in the part, and a changed entry
  is, too; an entry that has not changed is as valid as it was.
- It is a plain leafref from one of them to another. The part has the entries that are referred to from what is in it,
  and those that refer to what is lost.
- It is a *must* that looks from one of them into an entry of another list by its key, or into all of its entries that
  have a certain child. In the first case the part has the entries that are looked at from what is in it, and those
  from which something is looked at that has changed. In the second it has all of both.
- It is anything else: then the lists that it may see, and the one that it is in, are in the part as a whole.

Where the rest has changed, the part is all. An entry may have lists of its own that nothing sees but entry by entry
(``reachrules``). Where all else in it is as it was, it is in the part with those of their entries that have changed, or
look at what has.

So what is in the part sees there what it would see in the whole, and what is not in it has not changed and sees
nothing that has. A valid part makes a valid whole. A part that is not valid says nothing: only the whole tells why.

The input of an RPC is held against a part as well: what its references lead to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yangkit.libyang_constraints import Expression, address, constraints, is_restricted
from yangkit.links import Aim, Link, alike, upwards
from yangkit.reachrules import Rules, home
from yangkit.tree import Container, Key, Leaf, List, Node, instances, is_empty
from yangkit.xpathreach import climb

if TYPE_CHECKING:
    from yangkit.schema import Schema, SchemaNode

_NOTHING: Mapping[SchemaNode, Node] = {}
_LINKS = "links"
"""Under which an entry keeps those that lead from it."""
Values = frozenset[tuple[Link, str]]


@dataclass
class _Part:
    """What is taken of a tree: entries by their lists."""

    tree: Container
    old: Container | None
    """What was valid before; None: entries are taken as they are."""
    lost: Values
    """What something leads to, and was true before."""
    taken: dict[SchemaNode, dict[Key, Container | Leaf]] = field(default_factory=dict)
    #: Those whose links were not followed yet.
    new: list[Container] = field(default_factory=list)


class Reach:
    """What a schema says of it."""

    def __init__(self, schema: Schema) -> None:
        self._rules = rules = Rules(schema)
        self._homes = rules.homes
        self._above = {above for node in self._homes for above in upwards(node)} - self._homes
        self._ways = {above for node in rules.links for above in upwards(node)}
        self._inner_ways = {above for node in rules.inner for above in upwards(node)} - rules.inner
        #: By the home that they lead to: links, and the homes that they lead from.
        self._links_to: dict[SchemaNode, set[Link]] = {}
        self._homes_to: dict[SchemaNode, set[SchemaNode]] = {}
        for node, links in rules.links.items():
            for link in links:
                self._links_to.setdefault(link.home, set()).add(link)
                if (place := home(node)) is not None:
                    self._homes_to.setdefault(link.home, set()).add(place)
        self._inputs: dict[SchemaNode, Mapping[SchemaNode, Aim] | None] = {}

    # -- of an RPC ---------------------------------------------------------------------------------------------------

    def context(self, rpc: SchemaNode, given: Container, running: Container) -> Container:
        """What of the configuration the input of an RPC or action can see."""
        if rpc not in self._inputs:
            self._inputs[rpc] = self._input(rpc)
        aims = self._inputs[rpc]
        if aims is None:
            return running
        part = _Part(running, None, frozenset())
        for leaf in _leafs(given):
            if aim := aims.get(leaf.schema):
                self._take_linked(part, aim, leaf.value)
        return self._pruned(running, part.taken)

    def _input(self, rpc: SchemaNode) -> Mapping[SchemaNode, Aim] | None:
        """Where its references lead; None: it may see anything."""
        if rpc.kind != "rpc" or is_restricted(rpc.handle):
            return None
        aims = {}
        for node in _below(rpc):
            said = constraints(node.handle)
            depth = len(upwards(node)) - 1
            if said.boundless or any(not _within(expression, depth) for expression in said.expressions):
                return None
            if said.refers is None:
                continue
            target = self._rules.by_handle.get(address(said.refers))
            if target is None or constraints(target.handle).implied:
                return None
            if (place := home(target)) is not None:
                aims[node] = Aim(place, target)
        return aims

    # -- of a change -------------------------------------------------------------------------------------------------

    def part(self, old: Container, new: Container) -> Container | None:
        """What is to be validated of ``new`` when ``old`` is valid; None: all of it."""
        changed: dict[SchemaNode, dict[Key, tuple[Node | None, Node | None]]] = {}
        if not self._same_rest(old, new, changed):
            return None
        lost = frozenset(
            (link, value)
            for schema, pairs in changed.items()
            for link in self._links_to.get(schema, ())
            for key, (before, after) in pairs.items()
            for value in link.lost(key, before, after)
        )
        part = _Part(new, old, lost)
        for schema in self._rules.whole:
            self._take_all(part, schema)
        for schema, children in self._rules.having.items():
            self._take_with(part, schema, children)
        for schema, pairs in changed.items():
            for key, (_, after) in pairs.items():
                self._take(part, schema, key, after)
            if any(link.home is schema for link, _ in lost):
                self._take_linking(part, schema)
        for link, value in self._walked(new, (), self._homes):
            self._take_linked(part, link, value)
        while part.new:
            for link, value in self._links_of(part.new.pop()):
                self._take_linked(part, link, value)
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
            if schema in self._homes:
                changed[schema] = _differences(one, other)
            elif schema.is_np_container or (isinstance(one, Container) and isinstance(other, Container)):
                if not self._same_rest(one, other, changed):
                    return False
            elif one is None or not one.same(other):
                return False
        return True

    def _take(self, part: _Part, schema: SchemaNode, key: Key, entry: Node | None) -> None:
        known = part.taken.setdefault(schema, {})
        if key in known or not isinstance(entry, Container):
            return
        before = None if part.old is None else _entries(part.old, schema).get(key)
        looked_at = self._trimmed(before, entry, part.lost) if isinstance(before, Container) else entry
        known[key] = looked_at
        part.new.append(looked_at)

    def _take_all(self, part: _Part, schema: SchemaNode) -> None:
        for key, entry in _entries(part.tree, schema).items():
            self._take(part, schema, key, entry)

    def _take_with(self, part: _Part, schema: SchemaNode, children: set[SchemaNode]) -> None:
        for key, entry in _entries(part.tree, schema).items():
            if isinstance(entry, Container) and not children.isdisjoint(entry.children):
                self._take(part, schema, key, entry)

    def _take_linked(self, part: _Part, link: Link, value: str) -> None:
        """What a link leads to."""
        if link.by_key:
            self._take(part, link.home, (value,), _entries(part.tree, link.home).get((value,)))
        else:
            self._take_all(part, link.home)

    def _take_linking(self, part: _Part, schema: SchemaNode) -> None:
        """Entries from which something leads to what is lost of this home."""
        for linking in self._homes_to.get(schema, ()):
            for key, entry in _entries(part.tree, linking).items():
                if isinstance(entry, Container) and not part.lost.isdisjoint(self._links_of(entry)):
                    self._take(part, linking, key, entry)

    def _links_of(self, entry: Container) -> Values:
        """What leads from an entry: links with their values."""
        known = entry.recall(_LINKS)
        if not isinstance(known, frozenset):
            known = frozenset(self._walked(entry, (), set()))
            entry.remember(_LINKS, known)
        return known

    def _walked(self, node: Node, above: Sequence[Node], but: set[SchemaNode]) -> Iterator[tuple[Link, str]]:
        """The same of a node that is in these, but for what is in some below it."""
        here = (*above, node)
        for link in self._rules.links.get(node.schema, ()):
            yield from ((link, value) for value in link.values(here))
        for schema, child in node.children.items() if isinstance(node, Container) else ():
            if schema in self._ways and schema not in but:
                for one in instances(child):
                    yield from self._walked(one, here, but)

    # -- of an entry -------------------------------------------------------------------------------------------------

    def _trimmed(self, before: Container, entry: Container, lost: Values) -> Container:
        """Without those entries of inner lists that are as they were, in an entry that is so but for these."""
        if entry.schema not in self._inner_ways or not (entry is before or self._same_but_inner(before, entry)):
            return entry
        return self._kept(before, entry, (), frozenset() if lost.isdisjoint(self._links_of(entry)) else lost)

    def _same_but_inner(self, old: Node | None, new: Node | None) -> bool:
        before = old.children if isinstance(old, Container) else _NOTHING
        after = new.children if isinstance(new, Container) else _NOTHING
        for schema in before.keys() | after.keys():
            one, other = before.get(schema), after.get(schema)
            if schema in self._rules.inner or alike(one, other):
                continue
            both = schema.is_np_container or (isinstance(one, Container) and isinstance(other, Container))
            if not (schema in self._inner_ways and both and self._same_but_inner(one, other)):
                return False
        return True

    def _kept(self, old: Node | None, node: Container, above: Sequence[Node], lost: Values) -> Container:
        before = old.children if isinstance(old, Container) else _NOTHING
        here = (*above, node)
        children: dict[SchemaNode, Node] = {}
        for schema, child in node.children.items():
            one = before.get(schema)
            kept = child
            if schema in self._rules.inner and isinstance(child, List):
                known = one.entries if isinstance(one, List) else {}
                entries = child.entries.items()
                looked_at = {
                    key: entry
                    for key, entry in entries
                    if not alike(known.get(key), entry)
                    or (lost and not lost.isdisjoint(self._walked(entry, here, set())))
                }
                kept = List(schema, looked_at)
            elif schema in self._inner_ways and isinstance(child, Container):
                kept = self._kept(one, child, here, lost)
            if not is_empty(kept):
                children[schema] = kept
        return Container(node.schema, children)

    def _pruned(self, node: Container, taken: Mapping[SchemaNode, dict[Key, Container | Leaf]]) -> Container:
        children: dict[SchemaNode, Node] = {}
        for schema, child in node.children.items():
            kept = child
            if schema in self._homes:
                kept = List(schema, taken.get(schema, {}))
            elif schema in self._above and isinstance(child, Container):
                kept = self._pruned(child, taken)
            if not is_empty(kept):
                children[schema] = kept
        return Container(node.schema, children)


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


def _entries(tree: Container, schema: SchemaNode) -> dict[Key, Container | Leaf]:
    """Those of an outermost list."""
    node: Node | None = tree
    for step in reversed(upwards(schema)):
        node = node.children.get(step) if isinstance(node, Container) else None
    return node.entries if isinstance(node, List) else {}


def _differences(old: Node | None, new: Node | None) -> dict[Key, tuple[Node | None, Node | None]]:
    before = old.entries if isinstance(old, List) else {}
    after = new.entries if isinstance(new, List) else {}
    found: dict[Key, tuple[Node | None, Node | None]] = {
        key: (before.get(key), entry) for key, entry in after.items() if before.get(key) is not entry
    }
    return found | {key: (entry, None) for key, entry in before.items() if key not in after}

"""Data trees: immutable, so that datastores, candidates and replies share what is equal between them.

Whoever changes a tree makes new nodes from the root down to the change and keeps all others. What is printed of a
node is remembered with it, so that an unchanged subtree is printed once in its life.
"""

from __future__ import annotations

from collections.abc import Iterator

from yangkit import libyang_binding as libyang
from yangkit.schema import Schema, SchemaNode

Key = tuple[str, ...]


class Leaf:
    """A leaf, or one entry of a leaf-list; ``value`` is canonical, with names of modules as prefixes."""

    __slots__ = ("base", "default", "schema", "value")

    def __init__(self, schema: SchemaNode, value: str, base: int, default: bool = False) -> None:
        self.schema = schema
        self.value = value
        self.base = base
        self.default = default

    def same(self, other: Node | None) -> bool:
        """Equal to another node?"""
        return self is other or (isinstance(other, Leaf) and other.value == self.value)


class AnyData:
    """An anydata or anyxml node: its content as XML that carries all its namespaces."""

    __slots__ = ("content", "schema")

    def __init__(self, schema: SchemaNode, content: str) -> None:
        self.schema = schema
        self.content = content

    def same(self, other: Node | None) -> bool:
        """Equal to another node?"""
        return self is other or (isinstance(other, AnyData) and other.content == self.content)


class Container:
    """A container, an entry of a list, the input of an RPC, or the root."""

    __slots__ = ("cache", "children", "schema", "xml")

    def __init__(self, schema: SchemaNode, children: dict[SchemaNode, Node]) -> None:
        self.schema = schema
        self.children = children
        self.xml: str | None = None
        self.cache: dict[str, object] | None = None

    def same(self, other: Node | None) -> bool:
        """Equal to another node?"""
        if self is other:
            return True
        return (
            isinstance(other, Container)
            and self.children.keys() == other.children.keys()
            and all(child.same(other.children[schema]) for schema, child in self.children.items())
        )

    def key(self) -> Key:
        """The values of a list entry's keys."""
        return tuple(leaf.value for k in self.schema.key_nodes if isinstance(leaf := self.children[k], Leaf))

    def remember(self, name: str, value: object) -> None:
        """Keep something that was computed from this tree."""
        if self.cache is None:
            self.cache = {}
        self.cache[name] = value

    def recall(self, name: str) -> object | None:
        """What was kept under this name."""
        return self.cache.get(name) if self.cache is not None else None


class List:
    """All entries of a list or leaf-list, by key (entries without one have their position as the key)."""

    __slots__ = ("entries", "schema")

    def __init__(self, schema: SchemaNode, entries: dict[Key, Container | Leaf]) -> None:
        self.schema = schema
        self.entries = entries

    def same(self, other: Node | None) -> bool:
        """Equal to another node? Order counts where the user gives it."""
        if self is other:
            return True
        if not isinstance(other, List) or self.entries.keys() != other.entries.keys():
            return False
        if self.schema.user_ordered and list(self.entries) != list(other.entries):
            return False
        return all(entry.same(other.entries[key]) for key, entry in self.entries.items())


Node = Leaf | AnyData | Container | List


def empty(schema: Schema) -> Container:
    """A datastore without data."""
    return Container(schema.root, {})


def is_empty(node: Node) -> bool:
    """A node that may be left out: a list without entries, a container without meaning and content."""
    if isinstance(node, List):
        return not node.entries
    return isinstance(node, Container) and not node.children and node.schema.is_np_container


def instances(node: Node) -> Iterator[Leaf | AnyData | Container]:
    """The instances a child stands for: the entries of a list, else itself."""
    if isinstance(node, List):
        yield from node.entries.values()
    else:
        yield node


def only(tree: Container, wanted: frozenset[str] | None) -> Container:
    """A whole tree without other top-level nodes than these (qualified names); None means all."""
    if wanted is None:
        return tree
    return Container(
        tree.schema, {schema: node for schema, node in tree.children.items() if schema.json_name in wanted}
    )


def merge(first: Container, second: Container) -> Container:
    """Both trees in one; the second wins where they meet."""
    if not second.children:
        return first
    children = dict(first.children)
    for schema, theirs in second.children.items():
        ours = children.get(schema)
        children[schema] = theirs if ours is None else _merge_nodes(ours, theirs)
    return Container(first.schema, children)


def _merge_nodes(ours: Node, theirs: Node) -> Node:
    if isinstance(ours, Container) and isinstance(theirs, Container):
        return merge(ours, theirs)
    if isinstance(ours, List) and isinstance(theirs, List) and (ours.schema.keys or ours.schema.kind == "leaf-list"):
        entries = dict(ours.entries)
        for key, entry in theirs.entries.items():
            mine = entries.get(key)
            both = isinstance(mine, Container) and isinstance(entry, Container)
            entries[key] = merge(mine, entry) if both else entry  # type: ignore[arg-type]
        return List(ours.schema, entries)
    return theirs


def config_only(node: Container) -> Container:
    """The tree without state data."""
    children: dict[SchemaNode, Node] = {}
    for schema, child in node.children.items():
        if not schema.config:
            continue
        kept: Node = child
        if isinstance(child, Container):
            kept = config_only(child)
        elif isinstance(child, List) and schema.kind == "list":
            kept = List(schema, {k: config_only(e) for k, e in child.entries.items() if isinstance(e, Container)})
        if not is_empty(kept):
            children[schema] = kept
    return Container(node.schema, children)


def json_value(leaf: Leaf) -> object:
    """A leaf's value as RFC 7951, section 6, encodes it."""
    if leaf.base in libyang.NUMBERS:
        return int(leaf.value)
    if leaf.base == libyang.BOOLEAN:
        return leaf.value == "true"
    if leaf.base == libyang.EMPTY:
        return [None]
    return leaf.value

"""What distinguishes two trees; what both share is skipped without a look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from yangkit.paths import Path
from yangkit.tree import Container, Leaf, List, Node

Operation = Literal["create", "delete", "update", "move"]
Change = tuple[Operation, Path]


def changes(old: Container, new: Container, path: Path | None = None, deep: bool = True) -> Iterator[Change]:
    """Each created, deleted and changed node; with ``deep`` also each node below a created or deleted one."""
    path = path or Path()
    if old is new:
        return
    for schema, before in old.children.items():
        after = new.children.get(schema)
        if after is None:
            yield from _all("delete", before, path, deep)
        elif after is not before:
            yield from _pair(before, after, path, deep)
    for schema, after in new.children.items():
        if schema not in old.children:
            yield from _all("create", after, path, deep)


def _pair(before: Node, after: Node, path: Path, deep: bool) -> Iterator[Change]:
    schema = after.schema
    if isinstance(before, Container) and isinstance(after, Container):
        yield from changes(before, after, path.child(schema), deep)
    elif isinstance(before, List) and isinstance(after, List):
        yield from _entries(before, after, path, deep)
    elif not before.same(after):
        yield "update", path.child(schema)


def _entries(before: List, after: List, path: Path, deep: bool) -> Iterator[Change]:
    schema = after.schema
    for key, entry in before.entries.items():
        other = after.entries.get(key)
        if other is None:
            yield from _instance("delete", entry, path.child(schema, key), deep)
        elif isinstance(entry, Container) and isinstance(other, Container):
            yield from changes(entry, other, path.child(schema, key), deep)
        elif not entry.same(other):
            yield "update", path.child(schema, key)
    for key, entry in after.entries.items():
        if key not in before.entries:
            yield from _instance("create", entry, path.child(schema, key), deep)
    if schema.user_ordered:
        yield from _moves(before, after, path)


def _moves(before: List, after: List, path: Path) -> Iterator[Change]:
    """Entries that changed places, as those whose predecessor among the remaining ones differs."""
    kept_before = [key for key in before.entries if key in after.entries]
    kept_after = [key for key in after.entries if key in before.entries]
    if kept_before != kept_after:
        for old_key, new_key in zip(kept_before, kept_after, strict=True):
            if old_key != new_key:
                yield "move", path.child(after.schema, new_key)


def _all(operation: Operation, node: Node, path: Path, deep: bool) -> Iterator[Change]:
    if isinstance(node, List):
        for key, entry in node.entries.items():
            yield from _instance(operation, entry, path.child(node.schema, key), deep)
    else:
        yield from _instance(operation, node, path.child(node.schema), deep)


def _instance(operation: Operation, node: Node, here: Path, deep: bool) -> Iterator[Change]:
    yield operation, here
    if deep and not isinstance(node, Leaf) and isinstance(node, Container):
        for child in node.children.values():
            yield from _all(operation, child, here, deep)

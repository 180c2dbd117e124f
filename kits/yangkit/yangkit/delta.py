"""What turns one tree into another, as the XML of an edit: what both share is neither read nor written.

``Editor().run(old, elements)`` makes ``new`` of it again, with the order of entries wherever the user gives that.
"""

from __future__ import annotations

from yangkit.tree import AnyData, Container, Key, Leaf, List, Node
from yangkit.treexml import dump_node
from yangkit.xmlutil import NC

_REMOVE = f' xmlns:nc="{NC}" nc:operation="remove"'


def delta(old: Container, new: Container) -> str:
    """The children of a <config>; removals come first, so that no case of a choice is taken back by another."""
    gone: list[str] = []
    made: list[str] = []
    for schema, before in old.children.items():
        after = new.children.get(schema)
        if after is None:
            _remove(before, gone)
        elif after is not before:
            _changed(before, after, gone, made)
    for schema, after in new.children.items():
        if schema not in old.children:
            made.append(dump_node(after))
    return "".join((*gone, *made))


def _changed(before: Node, after: Node, gone: list[str], made: list[str]) -> None:
    schema = after.schema
    if isinstance(before, Container) and isinstance(after, Container):
        inner = delta(before, after)
        if inner:
            made.append(f"{schema.open_tag}{_keys(after)}{inner}{schema.close_tag}")
    elif isinstance(before, List) and isinstance(after, List):
        _entries(before, after, gone, made)
    elif not before.same(after):
        made.append(dump_node(after))


def _entries(before: List, after: List, gone: list[str], made: list[str]) -> None:
    if before.schema.user_ordered and _order(before, after) != list(after.entries):
        _remove(before, gone)
        made.append(dump_node(after))
        return
    for key, entry in before.entries.items():
        other = after.entries.get(key)
        if other is None:
            gone.append(_without(entry))
        elif isinstance(entry, Container) and other is not entry:
            _changed(entry, other, gone, made)
    made += [dump_node(entry) for key, entry in after.entries.items() if key not in before.entries]


def _order(before: List, after: List) -> list[Key]:
    """The order that entries would have if new ones came last."""
    kept = [key for key in before.entries if key in after.entries]
    return kept + [key for key in after.entries if key not in before.entries]


def _remove(node: Node, gone: list[str]) -> None:
    if isinstance(node, List):
        gone += [_without(entry) for entry in node.entries.values()]
    else:
        gone.append(_without(node))


def _without(node: Leaf | AnyData | Container) -> str:
    schema = node.schema
    tag = f"{schema.bare_tag}{_REMOVE}"
    if isinstance(node, Leaf) and schema.kind == "leaf-list":
        text = dump_node(node)  # it may declare namespaces of its own
        return tag + text[len(schema.bare_tag) :]
    keys = _keys(node) if isinstance(node, Container) else ""
    return f"{tag}>{keys}{schema.close_tag}"


def _keys(node: Container) -> str:
    return "".join(dump_node(node.children[key]) for key in node.schema.key_nodes) if node.schema.keys else ""

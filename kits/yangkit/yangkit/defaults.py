"""The with-defaults modes of RFC 6243; the basic mode is *explicit*."""

from __future__ import annotations

from yangkit import xmlutil
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Container, Leaf, List, Node, empty, is_empty
from yangkit.treexml import dump

MODES = ("report-all", "report-all-tagged", "trim", "explicit")
CAPABILITY = (
    "urn:ietf:params:netconf:capability:with-defaults:1.0"
    "?basic-mode=explicit&also-supported=report-all,report-all-tagged,trim"
)


def apply_mode(schema: Schema, tree: Container, mode: str) -> Container:
    """The tree as this mode shows it; the results are kept with the tree."""
    if mode == "explicit":
        return tree
    if mode not in MODES:
        raise RpcError("invalid-value", f"{mode!r} is no with-defaults mode", info={"bad-element": "with-defaults"})
    known = tree.recall(mode)
    if isinstance(known, Container):
        return known
    if mode == "trim":
        result = _trim(tree)
    else:
        tagged = _tagged(schema, tree)
        result = tagged if mode == "report-all-tagged" else _untagged(tagged)
    tree.remember(mode, result)
    return result


def _tagged(schema: Schema, tree: Container) -> Container:
    """The tree with its defaults, as libyang fills them in."""
    text = schema.library.with_defaults(dump(tree))
    root = xmlutil.parse(f"<config>{text}</config>".encode())
    return _DefaultLoader().run(empty(schema), root)


class _DefaultLoader(Editor):
    """Loads what libyang has printed: leafs that it tagged stay, marked as defaults."""

    def _operation(self, element, inherited, schema, path):  # type: ignore[no-untyped-def]
        return inherited

    def _instance(self, old, schema, element, operation, here):  # type: ignore[no-untyped-def]
        if element.attrib and schema.kind in ("leaf", "leaf-list"):
            value, base = schema.schema.canonical_xml(schema, element.text or "", dict(element.nsmap))
            return Leaf(schema, value, base, default=True)
        return super()._instance(old, schema, element, operation, here)


def _untagged(tree: Container) -> Container:
    return _map_leafs(tree, lambda leaf: Leaf(leaf.schema, leaf.value, leaf.base) if leaf.default else leaf)


def _trim(tree: Container) -> Container:
    def trim(leaf: Leaf) -> Leaf | None:
        return None if leaf.schema.facts.default == leaf.value and leaf.schema.kind == "leaf" else leaf

    def trim_entry(entry: Container) -> Container:
        known = entry.recall("trim")
        if not isinstance(known, Container):
            entry.remember("trim", known := _map_leafs(entry, trim))
        return known

    return _map_leafs(tree, trim, trim_entry)


def _map_leafs(tree: Container, change, of_entry=None) -> Container:  # type: ignore[no-untyped-def]
    """The tree with its leafs changed. ``of_entry`` does so for the entries of its outermost lists."""
    children: dict[SchemaNode, Node] = {}
    keys = tree.schema.key_nodes if tree.schema.keys else ()
    for schema, child in tree.children.items():
        node: Node | None = child
        if schema in keys:
            pass
        elif isinstance(child, Leaf):
            node = change(child)
        elif isinstance(child, Container):
            node = _map_leafs(child, change, of_entry)
        elif isinstance(child, List):
            of_container = of_entry or (lambda entry: _map_leafs(entry, change))
            entries = {k: of_container(e) if isinstance(e, Container) else change(e) for k, e in child.entries.items()}
            node = List(schema, {k: e for k, e in entries.items() if e is not None})
        if node is not None and not is_empty(node):
            children[schema] = node
    return Container(tree.schema, children)

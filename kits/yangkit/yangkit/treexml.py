"""Data trees to XML. (From XML they come through the edit engine, ``yangkit.edit``.)"""

from __future__ import annotations

from yangkit.libyang_binding import MODULE_PREFIX
from yangkit.paths import qualify
from yangkit.tree import AnyData, Container, Leaf, List, Node
from yangkit.xmlutil import DEFAULT_ATTRIBUTE, escape, escape_attribute

_DEFAULT = f' xmlns:wd="{DEFAULT_ATTRIBUTE}" wd:default="true"'


def dump(node: Container) -> str:
    """The children of a node, as XML text; remembered with the node."""
    if node.xml is None:
        parts: list[str] = []
        for child in node.children.values():
            _write(child, parts)
        node.xml = "".join(parts)
    return node.xml


def dump_node(node: Node) -> str:
    """A node itself as XML text."""
    parts: list[str] = []
    _write(node, parts)
    return "".join(parts)


def _write(node: Node, parts: list[str]) -> None:
    schema = node.schema
    if isinstance(node, Leaf):
        parts.append(_leaf(node))
    elif isinstance(node, Container):
        inner = dump(node)
        if inner:
            parts += (schema.open_tag, inner, schema.close_tag)
        else:
            parts.append(schema.empty_tag)
    elif isinstance(node, List):
        for entry in node.entries.values():
            _write(entry, parts)
    elif isinstance(node, AnyData):
        parts += (schema.open_tag, node.content, schema.close_tag)


def _leaf(leaf: Leaf) -> str:
    schema = leaf.schema
    if not leaf.value:
        return schema.empty_tag if not leaf.default else f"{schema.bare_tag}{_DEFAULT}/>"
    if not schema.facts.qualified and not leaf.default:
        return f"{schema.open_tag}{escape(leaf.value)}{schema.close_tag}"
    spaces = _DEFAULT if leaf.default else ""
    value = leaf.value
    if schema.facts.qualified:
        if value.startswith("/"):
            # In XML every name of a path has its prefix (RFC 7950, section 9.13.2), in JSON where it changes.
            value, _ = qualify(schema.schema, value)
        modules = schema.schema.modules
        for name in dict.fromkeys(MODULE_PREFIX.findall(value)):
            if name in modules:
                spaces += f' xmlns:{name}="{escape_attribute(modules[name].namespace)}"'
    return f"{schema.bare_tag}{spaces}>{escape(value)}{schema.close_tag}"

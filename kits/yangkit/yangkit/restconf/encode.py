"""Data to the wire: RFC 7951 with the metadata of RFC 7952, and XML."""

from __future__ import annotations

import json
from typing import Any

from lxml import etree

from yangkit import treexml, xmlutil
from yangkit.edit import Editor
from yangkit.errors import RpcError
from yangkit.restconf.media import Encoding
from yangkit.restconf.problems import RESTCONF
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import AnyData, Container, Leaf, List, Node, empty, instances, json_value
from yangkit.xmlutil import escape_attribute, split

_TAG = {"ietf-netconf-with-defaults:default": True}


def document(node: Node, encoding: Encoding) -> bytes:
    """One data node as a message body."""
    schema = node.schema
    if encoding == "xml":
        return rooted(schema, treexml.dump_node(node)).encode("utf-8", "replace")
    return _json(_member(schema.qualified_name, node))


def datastore(tree: Container, encoding: Encoding) -> bytes:
    """A whole datastore (RFC 8040, section 3.4)."""
    if encoding == "xml":
        return f'<data xmlns="{RESTCONF}">{treexml.dump(tree)}</data>'.encode("utf-8", "replace")
    return _json({"ietf-restconf:data": members(tree)})


def wrapped(module: str, namespace: str, name: str, tree: Container, encoding: Encoding) -> bytes:
    """Children of an RPC in an element (``output``) of the RPC's module."""
    if encoding == "xml":
        space = escape_attribute(namespace)
        return f'<{name} xmlns="{space}">{treexml.dump(tree)}</{name}>'.encode("utf-8", "replace")
    return _json({f"{module}:{name}": members(tree)})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def rooted(schema: SchemaNode, text: str) -> str:
    """An element as a document of its own: with its namespace, which its parent would have said."""
    if schema.bare_tag != f"<{schema.name}":
        return text
    return f'{schema.bare_tag} xmlns="{escape_attribute(schema.namespace)}"{text[len(schema.bare_tag) :]}'


def members(node: Container) -> dict[str, Any]:
    """The children of a node as members of an object."""
    found: dict[str, Any] = {}
    for schema, child in node.children.items():
        found |= _member(schema.json_name, child)
    return found


def _member(name: str, node: Node) -> dict[str, Any]:
    found = {name: _value(node)}
    leafs = [i for i in instances(node) if isinstance(i, Leaf)]
    if any(leaf.default for leaf in leafs):
        marks = [_TAG if leaf.default else None for leaf in leafs]
        found[f"@{name}"] = marks[0] if isinstance(node, Leaf) else marks
    return found


def _value(node: Node) -> Any:
    if isinstance(node, Leaf):
        return json_value(node)
    if isinstance(node, Container):
        return members(node)
    if isinstance(node, AnyData):
        return _anydata(node)
    return [_value(entry) for entry in node.entries.values()]


# -- anydata: XML inside, of any schema or none ----------------------------------------------------------------------


def _anydata(node: AnyData) -> Any:
    try:
        # What has no namespace of its own is in that of the node around it.
        space = escape_attribute(node.schema.namespace)
        content = xmlutil.parse(f'<data xmlns="{space}">{node.content}</data>'.encode())
    except xmlutil.MalformedXml:
        return node.content
    if not len(content):
        return content.text or {}
    schema = node.schema.schema
    try:
        return members(Editor(state_allowed=True).run(empty(schema), content))
    except RpcError:
        return _untyped(schema, content, "")


def _untyped(schema: Schema, element: etree._Element, space: str) -> Any:
    """Elements that no schema describes: all values are strings, repeated ones an array."""
    if not len(element):
        return element.text or ""
    found: dict[str, Any] = {}
    for child in element:
        namespace, name = split(child)
        module = schema.by_namespace.get(namespace or "")
        key = f"{module.name}:{name}" if module is not None and namespace != space else name
        value = _untyped(schema, child, namespace or "")
        if key not in found:
            found[key] = value
        elif isinstance(found[key], list):
            found[key].append(value)
        else:
            found[key] = [found[key], value]
    return found


def collection_size(node: Node) -> int:
    """How many instances a node stands for."""
    return len(node.entries) if isinstance(node, List) else 1

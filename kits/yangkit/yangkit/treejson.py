"""Data trees to and from RFC 7951 dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yangkit.errors import RpcError
from yangkit.paths import Path
from yangkit.schema import Schema, SchemaNode, by_json_name
from yangkit.tree import AnyData, Container, Leaf, List, Node, is_empty, json_value
from yangkit.xmlutil import escape

_SHARED = "json"


def dump(node: Container) -> dict[str, Any]:
    """The children of a node as a dictionary."""
    return {schema.json_name: _dump_node(child) for schema, child in node.children.items()}


def _dump_node(node: Node) -> Any:
    if isinstance(node, Leaf):
        return json_value(node)
    if isinstance(node, Container):
        return dump(node)
    if isinstance(node, AnyData):
        return node.content
    return [_dump_node(entry) for entry in node.entries.values()]


def shared(node: Container) -> dict[str, Any]:
    """The same, kept with the node, and with each part of it: nobody may change it, and who knows one knows an equal
    one again."""
    known = node.recall(_SHARED)
    if not isinstance(known, dict):
        known = {schema.json_name: _shared_node(child) for schema, child in node.children.items()}
        node.remember(_SHARED, known)
    return known


def _shared_node(node: Node) -> Any:
    if isinstance(node, Container):
        return shared(node)
    if isinstance(node, List):
        return [_shared_node(entry) for entry in node.entries.values()]
    return _dump_node(node)


def load(schema: Schema, data: Mapping[str, Any]) -> Container:
    """A whole data tree from a dictionary; RpcError says what does not fit the schema, and where."""
    return load_children(schema.root, data, schema.root.by_json_name, Path())


def load_output(rpc: SchemaNode, data: Mapping[str, Any]) -> Container:
    """The output of an RPC or action."""
    return load_children(rpc, data, by_json_name(rpc, rpc.outputs), Path())


def load_children(parent: SchemaNode, data: Mapping[str, Any], names: dict[str, SchemaNode], path: Path) -> Container:
    """A node with the children that the dictionary describes."""
    if not isinstance(data, Mapping):
        raise RpcError("invalid-value", f"{path} must be an object, not {type(data).__name__}")
    children: dict[SchemaNode, Node] = {}
    for key in (*parent.keys, *(name for name in data if name not in parent.keys)):
        if key not in data:
            raise RpcError("missing-element", f"{path} lacks its key {key}", info={"bad-element": key})
        if key.startswith("@"):
            continue
        schema = names.get(key)
        if schema is None:
            raise RpcError("unknown-element", f"{path} has no child {key!r} in the schema", info={"bad-element": key})
        node = _load_node(schema, data[key], path)
        if not is_empty(node):
            children[schema] = node
    return Container(parent, children)


def _load_node(schema: SchemaNode, value: Any, path: Path) -> Node:
    if schema.kind == "leaf":
        return _leaf(schema, value, path)
    if schema.kind in ("container", "notification"):
        return load_children(schema, value, schema.by_json_name, path.child(schema))
    if schema.kind == "anydata":
        return AnyData(schema, value if isinstance(value, str) else _any_xml(value))
    if not isinstance(value, list):
        raise RpcError("invalid-value", f"{path.child(schema)} must be an array, not {type(value).__name__}")
    entries: dict[tuple[str, ...], Container | Leaf] = {}
    for position, item in enumerate(value):
        entry: Container | Leaf
        if schema.kind == "leaf-list":
            entry = _leaf(schema, item, path)
            key: tuple[str, ...] = (entry.value,) if schema.config else (str(position),)
        else:
            entry = load_children(schema, item, schema.by_json_name, path.child(schema))
            key = entry.key() if schema.keys else (str(position),)
        if key in entries:
            raise RpcError("bad-element", f"{path.child(schema)} holds {', '.join(key)} twice")
        entries[key] = entry
    return List(schema, entries)


def _leaf(schema: SchemaNode, value: Any, path: Path) -> Leaf:
    """``path`` is the parent's."""
    match value:
        case bool():
            text = "true" if value else "false"
        case int() | float():
            text = str(value)
        case str():
            text = value
        case [None]:
            text = ""
        case _:
            raise RpcError("invalid-value", f"{path.child(schema)}: a {type(value).__name__} is no value of a leaf")
    try:
        canonical, base = schema.schema.canonical(schema, text)
    except RpcError as error:
        error.path, error.path_namespaces = path.child(schema).xpath()
        error.message = f"{path.child(schema)}: {error.message}"
        raise
    return Leaf(schema, canonical, base)


def _any_xml(value: Any) -> str:
    """Content of an anydata node that came as JSON: element names without their modules."""
    if isinstance(value, Mapping):
        return "".join(_any_element(key.rpartition(":")[2], item) for key, item in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value)) if value is not None else ""


def _any_element(name: str, value: Any) -> str:
    items = value if isinstance(value, list) else [value]
    return "".join(f"<{name}>{_any_xml(item)}</{name}>" for item in items)

"""Message bodies to elements for the edit engine; JSON as strictly as RFC 7951 has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lxml import etree

from yangkit import libyang_binding as libyang
from yangkit import treexml, xmlutil
from yangkit.errors import RpcError
from yangkit.restconf.encode import rooted
from yangkit.restconf.messages import HttpError, bad_request
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Leaf
from yangkit.xmlutil import NC, YANG1, escape, escape_attribute, split_name


def parse_json(body: bytes) -> dict[str, Any]:
    """The object that a body holds; 400 for everything else, also for names given twice (RFC 7951, section 4)."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is no JSON that RFC 7951 allows: {error}", "malformed-message") from None
    if not isinstance(value, dict):
        raise bad_request("the body is no JSON object", "malformed-message")
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """As deep as XML may be, so that whoever walks through it gets to its end."""
    level = [value]
    for _ in range(xmlutil.MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise bad_request(f"the body is nested deeper than {xmlutil.MAX_DEPTH}", "malformed-message")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the member {twice!r} is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def parse_xml(body: bytes) -> etree._Element:
    """The root element of a body, free of the attributes by which NETCONF would edit; 400 otherwise."""
    try:
        root = xmlutil.parse(body)
    except xmlutil.MalformedXml as error:
        raise bad_request(f"the body is no XML: {error}", "malformed-message") from None
    for element in root.iter():
        for attribute in element.attrib:
            namespace, name = split_name(str(attribute))
            if namespace in (NC, YANG1):
                info = {"bad-attribute": name, "bad-element": split_name(str(element.tag))[1]}
                message = f"the attribute {name} is NETCONF's; RESTCONF says it by method and query parameters"
                raise HttpError(400, RpcError("unknown-attribute", message, type="protocol", info=info))
    return root


def single(data: Mapping[str, Any], what: str) -> tuple[str, Any]:
    """The one member of an object."""
    if len(data) != 1:
        raise bad_request(f"{what} holds exactly one member, not {len(data)}", "malformed-message")
    return next(iter(data.items()))


def element_of(schema: SchemaNode, value: Any) -> etree._Element:
    """One instance from the value of its JSON member; entries of lists come in an array of one."""
    if schema.kind in ("list", "leaf-list"):
        if not isinstance(value, list) or len(value) != 1:
            raise bad_request(f"{schema.name} must be an array with exactly one entry")
        value = value[0]
    text: list[str] = []
    _one(schema, value, text)
    return document(rooted(schema, "".join(text)))


def data_elements(schema: Schema, value: Any) -> etree._Element:
    """All top-level nodes of a datastore, in an element."""
    text: list[str] = []
    _members(schema.root, schema.root.by_json_name, value, text)
    return document(f"<data>{''.join(text)}</data>")


def input_element(rpc: SchemaNode, value: Any) -> etree._Element:
    """The input of an RPC or action, in an element."""
    text: list[str] = []
    _members(rpc, rpc.by_json_name, value, text)
    return document(f'<input xmlns="{escape_attribute(rpc.namespace)}">{"".join(text)}</input>')


def document(text: str) -> etree._Element:
    """Parse what was written here of a client's values."""
    try:
        return xmlutil.parse(text.encode("utf-8"))
    except (xmlutil.MalformedXml, UnicodeEncodeError):
        raise bad_request("a value has characters that YANG does not allow (RFC 7950, section 9.4)") from None


def _members(parent: SchemaNode, names: Mapping[str, SchemaNode], value: Any, text: list[str]) -> None:
    if not isinstance(value, dict):
        raise bad_request(f"{parent.path()} must be an object", "invalid-value")
    given: set[SchemaNode] = set()
    for name, item in value.items():
        schema = names.get(name)
        if schema is None or schema.kind in ("rpc", "notification", "action"):
            tag = "unknown-attribute" if name.startswith("@") else "unknown-element"
            info = {"bad-attribute" if name.startswith("@") else "bad-element": name}
            message = f"{name!r} is not in the schema below {parent.path()}"
            raise HttpError(400, RpcError(tag, message, info=info))
        if schema in given:
            raise bad_request(f"{schema.name} is given twice below {parent.path()}", "bad-element")
        given.add(schema)
        if schema.kind in ("list", "leaf-list"):
            if not isinstance(item, list):
                raise bad_request(f"{schema.path()} must be an array")
            for entry in item:
                _one(schema, entry, text)
        else:
            _one(schema, item, text)


def _one(schema: SchemaNode, value: Any, text: list[str]) -> None:
    if schema.kind in ("leaf", "leaf-list"):
        text.append(treexml.dump_node(_leaf(schema, value)))
    elif schema.kind == "anydata":
        text += (schema.open_tag, any_xml(schema.schema, value), schema.close_tag)
    else:
        text.append(schema.open_tag)
        _members(schema, schema.by_json_name, value, text)
        text.append(schema.close_tag)


def _leaf(schema: SchemaNode, value: Any) -> Leaf:
    match value:
        case bool():
            plain, given = ("true" if value else "false"), "boolean"
        case int():
            plain, given = str(value), "number"
        case str():
            plain, given = value, "string"
        case [None]:
            plain, given = "", "[null]"
        case _:
            raise _wrong(schema, f"a {type(value).__name__} is no value of a leaf")
    try:
        canonical, base = schema.schema.canonical(schema, plain)
    except RpcError as error:
        raise _wrong(schema, error.message, error.app_tag) from None
    wanted = _json_type(base)
    # Of a union the JSON type is that of one of its members, and libyang takes the first that fits.
    if given != wanted and not (schema.facts.base in libyang.UNIONS and given in ("string", "number", "boolean")):
        raise _wrong(schema, f"the value must be a JSON {wanted}, not a {given} (RFC 7951, section 6)")
    return Leaf(schema, canonical, base)


def _json_type(base: int) -> str:
    if base in libyang.NUMBERS:
        return "number"
    if base == libyang.BOOLEAN:
        return "boolean"
    return "[null]" if base == libyang.EMPTY else "string"


def _wrong(schema: SchemaNode, message: str, app_tag: str | None = None) -> HttpError:
    info = {"bad-element": schema.name}
    return HttpError(400, RpcError("invalid-value", f"{schema.path()}: {message}", app_tag=app_tag, info=info))


# -- anydata ---------------------------------------------------------------------------------------------------------


def any_xml(schema: Schema, value: Any) -> str:
    """Content of an anydata node: by the schema where that knows it, else elements in their modules' namespaces."""
    if not isinstance(value, dict):
        return _untyped(schema, value)
    text: list[str] = []
    for name, item in value.items():
        node = schema.root.by_json_name.get(name)
        if node is None or node.kind in ("rpc", "notification"):
            text.append(_untyped_member(schema, name, item))
        else:
            _members(schema.root, schema.root.by_json_name, {name: item}, text)
    return "".join(text)


def _untyped(schema: Schema, value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_untyped_member(schema, name, item) for name, item in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value)) if value is not None else ""


def _untyped_member(schema: Schema, name: str, value: Any) -> str:
    prefix, _, local = name.rpartition(":")
    module = schema.modules.get(prefix)
    if (prefix and module is None) or not libyang.MODULE_PREFIX.fullmatch(f"{local}:"):
        raise bad_request(f"{name!r} is no name of a node in a module that is known here", "unknown-element")
    space = f' xmlns="{escape_attribute(module.namespace)}"' if module is not None else ""
    items = value if isinstance(value, list) else [value]
    return "".join(f"<{local}{space}>{_untyped(schema, None if i == [None] else i)}</{local}>" for i in items)

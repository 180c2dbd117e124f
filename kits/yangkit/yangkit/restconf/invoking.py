"""RPCs below {+restconf}/operations and actions on data resources (RFC 8040, sections 3.6 and 4.4.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lxml import etree

from yangkit.errors import RpcError
from yangkit.nacm import Access
from yangkit.restconf import decode, encode
from yangkit.restconf.editing import keys_xml
from yangkit.restconf.media import Encoding, encoding_of
from yangkit.restconf.messages import HttpError, Request, Response, bad_request, not_found
from yangkit.restconf.problems import RESTCONF
from yangkit.restconf.resources import Target, decoded, exists
from yangkit.schema import Schema, SchemaNode
from yangkit.tree import Container, merge
from yangkit.xmlutil import escape_attribute

if TYPE_CHECKING:
    from yangkit.server import NetconfServer


def rpc_named(schema: Schema, text: str) -> SchemaNode:
    """The RPC that ``module:name`` means; 404 when there is none."""
    node = schema.root.by_json_name.get(decoded(text))
    if node is None or node.kind != "rpc":
        raise not_found(f"the operation {text}")
    return node


def listing(server: NetconfServer, encoding: Encoding) -> bytes:
    """The operations that may be called (section 3.3.2): those that somebody carries out."""
    rpcs = [rpc for rpc in server.stores.schema.rpcs.values() if rpc.qualified_name in server.rpcs]
    if encoding == "json":
        named = {rpc.qualified_name: [None] for rpc in rpcs}
        return json.dumps({"ietf-restconf:operations": named}).encode()
    named_xml = "".join(f'<{rpc.name} xmlns="{escape_attribute(rpc.namespace)}"/>' for rpc in rpcs)
    return f'<operations xmlns="{RESTCONF}">{named_xml}</operations>'.encode()


async def call_rpc(
    server: NetconfServer, access: Access, request: Request, rpc: SchemaNode, encoding: Encoding
) -> Response:
    """POST on an operation resource."""
    access.check_exec(rpc, rpc.module.name, rpc.name)
    element = _input(request, rpc)
    output = await server.operations.invoke(rpc, rpc.qualified_name, element, request.user, 0)
    return _answer(rpc, output, encoding)


async def call_action(
    server: NetconfServer, access: Access, request: Request, target: Target, encoding: Encoding
) -> Response:
    """POST on an action of an instance, which must be there."""
    action, holder = target.schema, target.parent
    if holder.is_collection:
        raise bad_request(f"{holder.schema.name} needs the values of its keys", "missing-element")
    tree = merge(server.stores.running_tree, await server.state.tree())
    if not exists(access.readable(tree), holder):
        raise not_found(holder.url())
    access.check_exec(action, action.module.name, action.name)
    element = _input(request, action)
    path: dict[str, Mapping[str, str]] = {}
    before = after = ""
    above = Target(holder.root)
    for step in holder.steps:
        above = above.child(step.schema, step.key)
        if step.key is not None:
            path[step.schema.name] = dict(zip(step.schema.keys, step.key, strict=True))
        before += step.schema.open_tag + keys_xml(above)
        after = step.schema.close_tag + after
    name = "/" + "/".join(step.schema.json_name for step in target.steps)
    output = await server.operations.invoke(action, name, element, request.user, 0, path, (before, after))
    return _answer(action, output, encoding)


def _input(request: Request, rpc: SchemaNode) -> etree._Element:
    """The element ``input`` of a body; without a body an empty one (section 3.6.1)."""
    if not request.body:
        return decode.input_element(rpc, {})
    encoding = encoding_of(request)
    if encoding == "json":
        name, value = decode.single(decode.parse_json(request.body), "the body")
        if name == f"{rpc.module.name}:input":
            return decode.input_element(rpc, value)
    else:
        root = decode.parse_xml(request.body)
        name = str(root.tag)
        if name == f"{{{rpc.namespace}}}input":
            return root
    info = {"bad-element": name.rpartition("}")[2]}
    message = f"the body holds {name}, not the input of {rpc.qualified_name}"
    raise HttpError(400, RpcError("bad-element", message, type="protocol", info=info))


def _answer(rpc: SchemaNode, output: Container, encoding: Encoding) -> Response:
    if not output.children:
        return Response(204)
    body = encode.wrapped(rpc.module.name, rpc.namespace, "output", output, encoding)
    return Response(200, body, [("content-type", f"application/yang-data+{encoding}")])

"""YANG Patch (RFC 8072): several edits that are done all or none, in their order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from yangkit.errors import RpcError
from yangkit.restconf import decode, problems
from yangkit.restconf.editing import Edit, check_key, place
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import HttpError, Request, Response, bad_request
from yangkit.restconf.resources import Target, parse
from yangkit.schema import Schema
from yangkit.xmlutil import escape, split, text_of

NAMESPACE = "urn:ietf:params:xml:ns:yang:ietf-yang-patch"
_WITH_VALUE = ("create", "insert", "merge", "replace")
_OPERATIONS = (*_WITH_VALUE, "delete", "move", "remove")
_EDIT_LEAFS = ("edit-id", "operation", "target", "point", "where")
_MAX_EDITS = 10_000


@dataclass(frozen=True)
class OneEdit:
    """An entry of the list ``edit``."""

    id: str
    operation: str
    target: str
    point: str | None
    where: str | None
    value: Any  # a JSON object, an element, or None


@dataclass(frozen=True)
class Patch:
    """A patch as it came."""

    id: str
    edits: list[OneEdit]


class EditFailed(Exception):
    """One edit cannot be done, so none is."""

    def __init__(self, edit: OneEdit, error: RpcError, status: int) -> None:
        super().__init__(str(error))
        self.edit = edit
        self.error = error
        self.status = status


def read(request: Request, encoding: Encoding) -> Patch:
    """The patch that a body holds; 400 when it is none (section 2.2)."""
    raw_edits: list[dict[str, Any]]
    if encoding == "json":
        top, raw_edits = _read_json(request.body)
    else:
        top, raw_edits = _read_xml(request.body)
    if not isinstance(top.get("patch-id"), str):
        raise bad_request("the patch needs a patch-id", "missing-element")
    if len(raw_edits) > _MAX_EDITS:
        raise bad_request(f"the patch has more than {_MAX_EDITS} edits", "too-big")
    edits = [_edit(raw) for raw in raw_edits]
    if len({edit.id for edit in edits}) != len(edits):
        raise bad_request("two edits have the same edit-id", "bad-element")
    return Patch(top["patch-id"], edits)


def _read_json(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    name, top = decode.single(decode.parse_json(body), "the body")
    if name != "ietf-yang-patch:yang-patch" or not isinstance(top, dict):
        raise bad_request("the body is no ietf-yang-patch:yang-patch", "bad-element")
    edits = top.get("edit", [])
    if not isinstance(edits, list) or not all(isinstance(edit, dict) for edit in edits):
        raise bad_request("edit must be an array of objects")
    _known(top, ("patch-id", "comment", "edit"), "a patch")
    for edit in edits:
        _known(edit, (*_EDIT_LEAFS, "value"), "an edit")
        if not all(isinstance(edit[name], str) for name in _EDIT_LEAFS if name in edit):
            raise bad_request(f"{', '.join(_EDIT_LEAFS)} are strings")
    return top, edits


def _read_xml(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    root = decode.parse_xml(body)
    if root.tag != f"{{{NAMESPACE}}}yang-patch":
        raise bad_request("the body is no yang-patch", "bad-element")
    top: dict[str, Any] = {}
    edits: list[dict[str, Any]] = []
    for child in root:
        name = _name(child, ("patch-id", "comment", "edit"), "a patch")
        if name != "edit":
            _once(top, name, text_of(child))
            continue
        edit: dict[str, Any] = {}
        for leaf in child:
            part = _name(leaf, (*_EDIT_LEAFS, "value"), "an edit")
            _once(edit, part, leaf if part == "value" else text_of(leaf))
        edits.append(edit)
    return top, edits


def _name(element: etree._Element, allowed: tuple[str, ...], what: str) -> str:
    namespace, name = split(element)
    _known({name if namespace == NAMESPACE else str(element.tag): None}, allowed, what)
    return name


def _once(found: dict[str, Any], name: str, value: Any) -> None:
    if name in found:
        raise bad_request(f"{name} is given twice", "bad-element")
    found[name] = value


def _known(found: dict[str, Any], allowed: tuple[str, ...], what: str) -> None:
    for name in found:
        if name not in allowed:
            info = {"bad-element": name}
            raise HttpError(400, RpcError("unknown-element", f"{what} has no {name!r}", type="protocol", info=info))


def _edit(raw: dict[str, Any]) -> OneEdit:
    for name in ("edit-id", "operation", "target"):
        if name not in raw:
            raise bad_request(f"an edit lacks its {name}", "missing-element")
    operation = raw["operation"]
    if operation not in _OPERATIONS:
        raise bad_request(f"{operation!r} is no operation of YANG Patch")
    if ("value" in raw) != (operation in _WITH_VALUE):
        tag = "missing-element" if operation in _WITH_VALUE else "bad-element"
        problem = "needs" if operation in _WITH_VALUE else "has no"
        raise bad_request(f"edit {raw['edit-id']}: {operation} {problem} value", tag)
    if operation not in ("insert", "move") and ("point" in raw or "where" in raw):
        raise bad_request(f"edit {raw['edit-id']}: point and where are for insert and move", "bad-element")
    return OneEdit(raw["edit-id"], operation, raw["target"], raw.get("point"), raw.get("where"), raw.get("value"))


# -- carrying it out -------------------------------------------------------------------------------------------------


def run(schema: Schema, edit: Edit, base: Target, patch: Patch, status_of: Callable[[RpcError], int]) -> None:
    """Do all edits, or raise EditFailed for the first that cannot be done."""
    for one in patch.edits:
        try:
            _run_one(schema, edit, base, one)
        except HttpError as error:
            raise EditFailed(one, error.error, error.status) from None
        except RpcError as error:
            raise EditFailed(one, error, status_of(error)) from None


def _run_one(schema: Schema, edit: Edit, base: Target, one: OneEdit) -> None:
    target = base if one.target == "/" else parse(schema, one.target, base)
    if not target.steps:
        _on_datastore(schema, edit, one)
        return
    if target.schema.kind == "action" or target.is_collection:
        raise bad_request(f"{one.target} names no single data node")
    where = None
    if one.operation in ("insert", "move"):
        point = None if one.point is None else _absolute(base, one.point)
        where = place(schema, target, one.where or "last", point, "where")
    if one.operation in ("delete", "remove"):
        edit.apply(target, None, one.operation)
        return
    edit.need_parent(target)
    if one.operation == "move":
        if not edit.has(target):
            raise RpcError("data-missing", f"{one.target} does not exist")
        edit.apply(target, None, "merge", where)
        return
    element = _value(one, target)
    edit.apply(target, element, "create" if one.operation == "insert" else one.operation, where)


def _on_datastore(schema: Schema, edit: Edit, one: OneEdit) -> None:
    if one.operation not in ("merge", "replace"):
        raise bad_request(f"{one.operation} is not possible on the whole datastore", "operation-not-supported")
    if isinstance(one.value, etree._Element):
        if len(one.value) != 1 or one.value[0].tag != f"{{{problems.RESTCONF}}}data":
            raise bad_request("value must hold ietf-restconf:data", "bad-element")
        elements = one.value[0]
    else:
        name, data = _only_member(one.value)
        if name != "ietf-restconf:data":
            raise bad_request("value must hold ietf-restconf:data", "bad-element")
        elements = decode.data_elements(schema, data)
    edit.replace_all(elements, one.operation)


def _absolute(base: Target, point: str) -> str:
    """A point is relative to the request's target, as the edit's target is."""
    return f"{base.url()}{'' if point.startswith('/') else '/'}{point}"


def _only_member(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict):
        raise bad_request("value must be an object")
    return decode.single(value, "value")


def _value(one: OneEdit, target: Target) -> etree._Element:
    schema = target.schema
    if isinstance(one.value, etree._Element):
        if len(one.value) != 1 or one.value[0].tag != schema.clark:
            raise bad_request(f"value must hold {schema.qualified_name} and nothing else", "bad-element")
        element = one.value[0]
    else:
        name, data = _only_member(one.value)
        if name != schema.qualified_name:
            raise bad_request(f"value holds {name}, not {schema.qualified_name}", "bad-element")
        element = decode.element_of(schema, data)
    check_key(target, element)
    return element


# -- status ----------------------------------------------------------------------------------------------------------


def status(
    schema: Schema,
    patch: Patch,
    encoding: Encoding,
    code: int = 200,
    error: RpcError | None = None,
    failed: OneEdit | None = None,
) -> Response:
    """The yang-patch-status (section 2.3): all is well, one edit failed, or the result as a whole is wrong."""
    if encoding == "json":
        body = json.dumps({"ietf-yang-patch:yang-patch-status": _json(schema, patch, error, failed)})
    else:
        body = _xml(patch, error, failed)
    return Response(code, body.encode("utf-8", "replace"), [("content-type", f"application/yang-data+{encoding}")])


def _json(schema: Schema, patch: Patch, error: RpcError | None, failed: OneEdit | None) -> dict[str, Any]:
    found: dict[str, Any] = {"patch-id": patch.id}
    if error is None:
        found["ok"] = [None]
    elif failed is None:
        found["errors"] = problems.as_json(schema, error)
    else:
        found["edit-status"] = {"edit": [{"edit-id": failed.id, "errors": problems.as_json(schema, error)}]}
    return found


def _xml(patch: Patch, error: RpcError | None, failed: OneEdit | None) -> str:
    inner = f"<patch-id>{escape(patch.id)}</patch-id>"
    if error is None:
        inner += "<ok/>"
    elif failed is None:
        inner += problems.as_xml(error, NAMESPACE)
    else:
        errors = problems.as_xml(error, NAMESPACE)
        inner += f"<edit-status><edit><edit-id>{escape(failed.id)}</edit-id>{errors}</edit></edit-status>"
    return f'<yang-patch-status xmlns="{NAMESPACE}">{inner}</yang-patch-status>'

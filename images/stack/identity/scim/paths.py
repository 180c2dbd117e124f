"""Filters and PATCH on a resource as a JSON object (RFC 7644 sections 3.4.2.2 and 3.5.2).

Attribute names are compared without case (RFC 7643 section 2.1); the schema's spelling is what is stored.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from .errors import ScimError, invalid
from .schemas import SCHEMAS, Attribute

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_FILTER = re.compile(r'\s*([A-Za-z][\w:.$-]*)\s+(?:eq)\s+("(?:[^"\\]|\\.)*")\s*', re.IGNORECASE)

Json = dict[str, Any]


def parse_filter(text: str) -> tuple[str, str]:
    """`attribute eq "value"`; nothing else is understood, and that is said (scimType invalidFilter)."""
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ScimError(400, 'only filters of the form: attribute eq "value" are supported', "invalidFilter")
    try:
        return match[1], str(json.loads(match[2]))
    except ValueError:
        raise ScimError(400, "the value of the filter is not a JSON string", "invalidFilter") from None


def locate(urn: str, extension: str | None, name: str) -> tuple[str, Attribute] | None:
    """Schema and attribute that a name or path means."""
    for schema in (urn, extension):
        if schema is None:
            continue
        short = name[len(schema) + 1 :] if name.lower().startswith(schema.lower() + ":") else name
        if short is name and schema == extension:
            continue  # an extension's attribute is named with its schema (section 3.10)
        for attribute in SCHEMAS[schema]:
            if attribute.name.lower() == short.lower():
                return schema, attribute
    return None


def patch(resource: Json, body: Any, urn: str, extension: str | None) -> Json:
    """The resource after all operations; none is applied if one fails (section 3.5.2)."""
    if not isinstance(body, dict) or PATCH_OP not in _list(body.get("schemas")):
        raise ScimError(400, f"schemas must hold {PATCH_OP}", "invalidSyntax")
    operations = body.get("Operations")
    if not isinstance(operations, list) or not operations:
        raise ScimError(400, "Operations must be a list that is not empty", "invalidSyntax")
    result = copy.deepcopy(resource)
    for number, operation in enumerate(operations):
        if not isinstance(operation, dict):
            raise ScimError(400, f"Operations[{number}] must be an object", "invalidSyntax")
        _apply(result, operation, number, urn, extension)
    return result


def _apply(resource: Json, operation: Json, number: int, urn: str, extension: str | None) -> None:
    verb, path = operation.get("op"), operation.get("path")
    verb = verb.lower() if isinstance(verb, str) else None
    if verb not in {"add", "replace", "remove"}:
        raise ScimError(400, f"Operations[{number}].op must be add, replace or remove", "invalidSyntax")
    if path is None:
        if verb == "remove":
            raise ScimError(400, f"Operations[{number}]: remove needs a path", "noTarget")
        values = operation.get("value")
        if not isinstance(values, dict):
            raise invalid(f"Operations[{number}].value must be an object when there is no path")
        for name, value in _flat(values, extension):
            _set(resource, verb, name, value, urn, extension)
        return
    if not isinstance(path, str):
        raise ScimError(400, f"Operations[{number}].path must be a string", "invalidPath")
    if verb != "remove" and "value" not in operation:
        raise invalid(f"Operations[{number}] needs a value")
    if extension and path.lower() == extension.lower() and isinstance(operation.get("value"), dict):
        for name, value in operation["value"].items():
            _set(resource, verb, f"{extension}:{name}", value, urn, extension)
        return
    _set(resource, verb, path, operation.get("value"), urn, extension)


def _flat(values: Json, extension: str | None) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if extension and name.lower() == extension.lower() and isinstance(value, dict):
            found += [(f"{extension}:{inner}", entry) for inner, entry in value.items()]
        elif name.lower() != "schemas":
            found.append((name, value))
    return found


def _set(resource: Json, verb: str, path: str, value: Any, urn: str, extension: str | None) -> None:
    target = locate(urn, extension, path)
    if target is None:
        raise ScimError(400, f"{path!r} is no attribute that can be changed", "invalidPath")
    schema, attribute = target
    place = resource if schema == urn else resource.setdefault(schema, {})
    if verb == "remove":
        if attribute.required:
            raise ScimError(400, f"{attribute.name} is required and cannot be removed", "mutability")
        place.pop(attribute.name, None)
    elif verb == "add" and attribute.multiple:
        present = _list(place.get(attribute.name))
        place[attribute.name] = present + [entry for entry in _list(value) if entry not in present]
    else:
        place[attribute.name] = value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]

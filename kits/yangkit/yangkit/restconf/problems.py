"""Errors as RESTCONF tells them (RFC 8040, sections 3.9, 7 and 7.1)."""

from __future__ import annotations

import json
from typing import Any

from yangkit.errors import RpcError, printable
from yangkit.paths import shortened
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import Headers, Response
from yangkit.schema import Schema
from yangkit.xmlutil import NC, escape, escape_attribute

RESTCONF = "urn:ietf:params:xml:ns:yang:ietf-restconf"
_STATUS = {
    "in-use": 409,
    "lock-denied": 409,
    "resource-denied": 409,
    "data-exists": 409,
    "data-missing": 409,
    "access-denied": 403,
    "too-big": 413,
    "rollback-failed": 500,
    "operation-not-supported": 501,
    "operation-failed": 412,
}


def status_of(error: RpcError) -> int:
    """The status for an error-tag.

    The table of section 7 leaves 412 or 500 for operation-failed: 412 is a refusal (a constraint of the model, the
    system's own "no"), 500 a failure, which has the exception behind it as its cause.
    """
    if error.tag == "operation-failed" and error.__cause__ is not None:
        return 500
    return _STATUS.get(error.tag, 400)


def response(
    schema: Schema, status: int, error: RpcError, encoding: Encoding, headers: Headers | None = None
) -> Response:
    """The answer that tells an error and those that came with it."""
    text = json.dumps({"ietf-restconf:errors": as_json(schema, error)}) if encoding == "json" else as_xml(error)
    kind = f"application/yang-data+{encoding}"
    return Response(status, text.encode("utf-8", "replace"), [*(headers or []), ("content-type", kind)])


def as_json(schema: Schema, error: RpcError) -> dict[str, Any]:
    """The content of ``errors``."""
    return {"error": [_one_json(schema, one) for one in error.all()]}


def _one_json(schema: Schema, error: RpcError) -> dict[str, Any]:
    found: dict[str, Any] = {"error-type": error.type, "error-tag": error.tag}
    if error.app_tag:
        found["error-app-tag"] = error.app_tag
    if error.path:
        found["error-path"] = shortened(error.path)
    found["error-message"] = printable(error.message)
    if error.info:
        found["error-info"] = {_json_name(schema, name): printable(text) for name, text in error.info.items()}
    return found


def _json_name(schema: Schema, name: str) -> str:
    namespace, local = name[1:].split("}", 1) if name.startswith("{") else (NC, name)
    module = schema.by_namespace.get(namespace)
    return f"{module.name}:{local}" if module is not None else local


def as_xml(error: RpcError, space: str = RESTCONF) -> str:
    """The element ``errors``."""
    parts = "".join(_one_xml(one) for one in error.all())
    return f'<errors xmlns="{space}">{parts}</errors>'


def _one_xml(error: RpcError) -> str:
    parts = [f"<error><error-type>{error.type}</error-type><error-tag>{error.tag}</error-tag>"]
    if error.app_tag:
        parts.append(f"<error-app-tag>{escape(printable(error.app_tag))}</error-app-tag>")
    if error.path:
        spaces = "".join(f' xmlns:{p}="{escape_attribute(ns)}"' for p, ns in error.path_namespaces.items())
        parts.append(f"<error-path{spaces}>{escape(printable(error.path))}</error-path>")
    parts.append(f"<error-message>{escape(printable(error.message))}</error-message>")
    if error.info:
        parts.append("<error-info>")
        for name, text in error.info.items():
            namespace, local = name[1:].split("}", 1) if name.startswith("{") else (NC, name)
            parts.append(f'<{local} xmlns="{escape_attribute(namespace)}">{escape(printable(text))}</{local}>')
        parts.append("</error-info>")
    parts.append("</error>")
    return "".join(parts)

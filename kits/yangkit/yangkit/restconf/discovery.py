"""How clients find the server and what it can do (RFC 8040, sections 3.1, 3.3, 3.7, 9)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from yangkit.restconf.media import XRD, Encoding, choose
from yangkit.restconf.messages import Request, Response, not_allowed, protocol_error
from yangkit.restconf.problems import RESTCONF
from yangkit.schema import Schema
from yangkit.xmlutil import escape_attribute

_CAPABILITY = "urn:ietf:params:restconf:capability:"
_CAPABILITIES = (
    "defaults:1.0?basic-mode=explicit",
    "depth:1.0",
    "fields:1.0",
    "with-defaults:1.0",
    "yang-patch:1.0",
)
_READ = ["GET", "HEAD", "OPTIONS"]


def host_meta(request: Request, root: str) -> Response:
    """Where the API is (RFC 6415), for everybody."""
    if request.method not in _READ:
        raise not_allowed(request.method, _READ)
    if request.method == "OPTIONS":
        return Response(200, b"", [("allow", ", ".join(_READ))])
    if choose(request.headers.get("accept", "*/*"), [XRD]) is None:
        raise protocol_error(406, "invalid-value", f"possible is: {XRD}")
    link = f"<Link rel='restconf' href='{escape_attribute(root)}'/>"
    text = (
        f"<?xml version='1.0' encoding='UTF-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{link}</XRD>\n"
    )
    return Response(200, text.encode(), [("content-type", XRD)])


def api(schema: Schema, encoding: Encoding, whole: bool) -> bytes:
    """The API resource, or its leaf yang-library-version alone."""
    version = schema.modules["ietf-yang-library"].revision or ""
    if encoding == "json":
        leaf = {"yang-library-version": version}
        shown: dict[str, Any] = {"ietf-restconf:restconf": {"data": {}, "operations": {}, **leaf}}
        return json.dumps(shown if whole else {"ietf-restconf:yang-library-version": version}).encode()
    space = f' xmlns="{RESTCONF}"'
    if not whole:
        return f"<yang-library-version{space}>{version}</yang-library-version>".encode()
    inner = f"<data/><operations/><yang-library-version>{version}</yang-library-version>"
    return f"<restconf{space}>{inner}</restconf>".encode()


def monitoring(root: str, streams: Mapping[str, Encoding]) -> dict[str, Any]:
    """The data of ietf-restconf-monitoring: one stream of events, in two encodings."""
    access = [{"encoding": encoding, "location": f"{root}/streams/{name}"} for name, encoding in streams.items()]
    stream = {
        "name": "NETCONF",
        "description": "All events (RFC 5277), without replay",
        "replay-support": False,
        "access": access,
    }
    state = {
        "capabilities": {"capability": [_CAPABILITY + name for name in _CAPABILITIES]},
        "streams": {"stream": [stream]},
    }
    return {"ietf-restconf-monitoring:restconf-state": state}

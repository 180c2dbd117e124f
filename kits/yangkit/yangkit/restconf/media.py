"""Content negotiation (RFC 8040, section 5.2; RFC 9110, section 12.5.1)."""

from __future__ import annotations

from math import isnan
from typing import Literal

from yangkit.restconf.messages import Request, protocol_error

Encoding = Literal["json", "xml"]
DATA: dict[str, Encoding] = {"application/yang-data+json": "json", "application/yang-data+xml": "xml"}
PATCH: dict[str, Encoding] = {"application/yang-patch+json": "json", "application/yang-patch+xml": "xml"}
ACCEPT_PATCH = ", ".join((*DATA, *PATCH))
XRD = "application/xrd+xml"
EVENTS = "text/event-stream"


def media_type(request: Request) -> str:
    """The type of the request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def encoding_of(request: Request, allowed: dict[str, Encoding] = DATA) -> Encoding:
    """How the body is encoded; 415 unless in an allowed way."""
    found = allowed.get(media_type(request))
    if found is None:
        given = media_type(request) or "no media type"
        header = "accept-patch" if request.method == "PATCH" else "accept"
        message = f"{given} is not understood here; possible: {', '.join(allowed)}"
        raise protocol_error(415, "operation-not-supported", message, [(header, ", ".join(allowed))])
    return found


def preferred(request: Request) -> Encoding:
    """The encoding of errors and of answers to clients who accept everything: the one they speak, else JSON."""
    return DATA.get(media_type(request)) or PATCH.get(media_type(request)) or "json"


def negotiate(request: Request) -> Encoding:
    """The encoding that the client likes best; 406 when it likes none of ours."""
    first = preferred(request)
    ordered = sorted(DATA, key=lambda name: DATA[name] != first)
    best = choose(request.headers.get("accept", "*/*"), ordered)
    if best is None:
        raise protocol_error(406, "invalid-value", f"possible are: {', '.join(DATA)}")
    return DATA[best]


def choose(accept: str, offered: list[str]) -> str | None:
    """The offered type with the highest weight; among equals the first."""
    ranges = _ranges(accept) or {"*/*": 1.0}
    best, weight = None, 0.0
    for name in offered:
        kind = name.partition("/")[0]
        quality = next((ranges[r] for r in (name, f"{kind}/*", "*/*") if r in ranges), 0.0)
        if quality > weight:
            best, weight = name, quality
    return best


def _ranges(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    quality = 0.0
        found[name] = 0.0 if isnan(quality) else max(quality, found.get(name, 0.0))
    return found

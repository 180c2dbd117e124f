"""Bodies of requests: media type, size, JSON, and the model (models.py) that says what they may hold.

A problem names each bad member by JSON pointer (RFC 6901) and says what would be right.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from stackkit.problems import Problem, pointer

from gro import resources

Json = Any
M = TypeVar("M", bound=BaseModel)

MAX_BODY = 1_000_000
MAX_ERRORS = 20
_EXACT = 2**53
JSON_TYPES = ("application/json",)
PATCH_TYPES = ("application/merge-patch+json", "application/json")

_KINDS = {"string_type": "a string", "list_type": "an array", "dict_type": "an object", "model_type": "an object",
          "model_attributes_type": "an object", "string_unicode": "a string of Unicode characters"}  # fmt: skip
UNCLEAN = "control characters are not accepted"
_QUANTITY = "1 is possible: a service has its own sites, order each in an item of its own"
_REMEDIES = {
    ("string_pattern_mismatch", "callback"): "an http or https URL with a host, without user and fragment, is expected",
    ("too_short", "serviceOrderItem"): "an order has at least one item",
    ("missing", "serviceOrderItem"): "an order has at least one item",
    ("missing", "serviceSpecification"): "a new service names its specification",
    ("union_tag_invalid", "action"): "add, modify and delete are possible",
}
# Members that a customer may read and never set.
_READ_ONLY = {
    name
    for model in (resources.ServiceOrder, resources.ServiceOrderItem, resources.Service, resources.CancelServiceOrder)
    for name in model.model_fields
}


def body(model: type[M], types: Sequence[str] = JSON_TYPES, title: str = "Invalid order") -> Callable[..., Any]:
    """Dependency that gives the body as an instance of the model."""

    async def read(request: Request) -> M:
        return check(model, await content(request, types), title)

    return read


async def content(request: Request, types: Sequence[str]) -> Json:
    """The body as JSON; anything else is told by status (RFC 9110 sections 15.5.14 and 15.5.16)."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in types:
        accepted = {"accept-patch" if request.method == "PATCH" else "accept": ", ".join(types)}
        raise Problem(415, "Unsupported Media Type", f"{' or '.join(types)} is expected", headers=accepted)
    raw = await request.body()
    if len(raw) > MAX_BODY:
        raise Problem(413, "Content Too Large", f"a body has at most {MAX_BODY} octets")
    try:
        return json.loads(raw, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Invalid request", f"not JSON: {error}", "") from None


def _finite(text: str) -> float | int:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number that JSON or we can hold (RFC 8259 section 6)")
    # JSON has one kind of number: 7.0 is 7.
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def check(model: type[M], given: Json, title: str) -> M:
    """What was given as the model, or the problem that names its members."""
    try:
        _encodable(given)
        return model.model_validate(given)
    except ValidationError as error:
        found = [_entry(one, given) for one in error.errors(include_url=False, include_input=False)]
        raise Problem(400, title, found[0]["detail"], found[0]["pointer"], **_others(found)) from None


def _others(found: list[dict[str, Json]]) -> dict[str, Json]:
    return {"errors": found[:MAX_ERRORS]} if len(found) > 1 else {}


def _encodable(given: Json) -> None:
    """Half surrogate pairs are JSON (RFC 8259 section 8.2) and yet no text that anybody could keep."""
    try:
        json.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Problem(400, "Invalid request", "a string holds half of a surrogate pair", "") from None
    except RecursionError:
        raise Problem(400, "Invalid request", "arrays and objects are nested too deep", "") from None


def _entry(error: Mapping[str, Json], given: Json) -> dict[str, Json]:
    kind, path = error["type"], _path(error, given)
    last = str(path[-1]) if path else ""
    detail = _QUANTITY if last == "quantity" else _REMEDIES.get((kind, last)) or _text(kind, last, error)
    return {"detail": detail, "pointer": pointer(path)}


def _text(kind: str, last: str, error: Mapping[str, Json]) -> str:
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"the member {last!r:.80} is {'set by the server' if last in _READ_ONLY else 'not known here'}"
    if kind in ("missing", "union_tag_not_found"):
        return f"the member {last!r} is missing"
    if kind == "string_pattern_mismatch":
        return UNCLEAN if "x00" in context["pattern"] else f"a text like {context['pattern']} is expected"
    if kind == "string_too_long":
        return f"texts above {context['max_length']} characters are not accepted"
    if kind == "too_long":
        return f"at most {context['max_length']} are accepted"
    return f"{_KINDS[kind]} is expected" if kind in _KINDS else str(error["msg"])


def _path(error: Mapping[str, Json], given: Json) -> list[str | int]:
    """Where it is in the document: pydantic's path without the tags of unions, which are no members."""
    path: list[str | int] = []
    here = given
    for step in error["loc"]:
        if isinstance(here, dict) and step not in here and step == here.get("action"):
            continue
        path.append(step)
        here = here[step] if (isinstance(here, dict) and step in here) or isinstance(here, list) else None
    return [*path, "action"] if error["type"].startswith("union_tag") else path

"""What all TM Forum APIs share (TMF630 REST design guidelines): selecting members, filtering, paging."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from stackkit.problems import Problem

Json = Any

PAGING = {"offset", "limit", "fields"}
ALWAYS = {"id", "href", "@type"}
MAX_PAGE = 1000


def json_response(content: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, headers, "application/json")


def select(document: dict[str, Json], fields: str | None) -> dict[str, Json]:
    """`fields=a,b` (TMF630 part 1, 4.3): these members of the first level and those that identify the resource."""
    if fields is None:
        return document
    wanted = set(fields.split(",")) | ALWAYS
    return {key: value for key, value in document.items() if key in wanted}


def page(request: Request, documents: Sequence[dict[str, Json]]) -> Response:
    """Filters by members (`state=active,reserved`, `relatedParty.id=…`), then cuts a page (TMF630 part 1, 4.4)."""
    query = request.query_params
    found = list(documents)
    for key in query:
        if key not in PAGING:
            wanted = {value for given in query.getlist(key) for value in given.split(",")}
            found = [one for one in found if wanted & set(_values(one, key.split(".")))]
    offset, limit = _number(query.get("offset"), "offset", 0), _number(query.get("limit"), "limit", MAX_PAGE)
    part = found[offset : offset + min(limit, MAX_PAGE)]
    headers = {"X-Total-Count": str(len(found)), "X-Result-Count": str(len(part))}
    # TMF630 part 1, 4.4.2: 206 tells that there is more.
    status = 200 if len(part) == len(found) else 206
    return json_response([select(one, query.get("fields")) for one in part], status, headers)


def _values(document: Json, path: list[str]) -> list[str]:
    if isinstance(document, list):
        return [value for one in document for value in _values(one, path)]
    if path:
        return _values(document[path[0]], path[1:]) if isinstance(document, dict) and path[0] in document else []
    return [document if isinstance(document, str) else json.dumps(document)]


def _number(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        problem = {"detail": "a number from 0 is expected", "parameter": name, "in": "query"}
        raise Problem(400, "Invalid request", f"{name}: {problem['detail']}", errors=[problem])
    return int(text)


async def body(request: Request) -> Json:
    """The body as JSON; anything else is told by status (RFC 9110 sections 15.5.14 and 15.5.16)."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("application/json", "application/merge-patch+json"):
        raise Problem(415, "Unsupported Media Type", "application/json is expected")
    raw = await request.body()
    if len(raw) > 1_000_000:
        raise Problem(413, "Content Too Large", "a body has at most 1000000 octets")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "Invalid request", f"not JSON: {error}", "") from None

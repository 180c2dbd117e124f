"""What all TM Forum APIs share (TMF630 REST design guidelines): selecting members, filtering, paging."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response

Json = Any
T = TypeVar("T")

ALWAYS = {"id", "href", "@type"}
MAX_PAGE = 1000
_LARGEST = 10**9

Fields = Annotated[
    str | None,
    Query(
        description="Members of the first level that are wanted, separated by commas; id, href and @type always come"
    ),
]


@dataclass
class Paging:
    """Which members of which documents of a list (TMF630 part 1, 4.3 and 4.4)."""

    fields: Fields = None
    offset: Annotated[int, Query(ge=0, le=_LARGEST, description="How many to pass over")] = 0
    limit: Annotated[int, Query(ge=0, le=_LARGEST, description=f"How many to give; {MAX_PAGE} at most")] = MAX_PAGE


PAGING = {"fields", "offset", "limit"}


def json_response(content: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, headers, "application/json")


def select(document: dict[str, Json], fields: str | None) -> dict[str, Json]:
    """`fields=a,b` (TMF630 part 1, 4.3): these members of the first level and those that identify the resource."""
    if fields is None:
        return document
    wanted = set(fields.split(",")) | ALWAYS
    return {key: value for key, value in document.items() if key in wanted}


def page(request: Request, paging: Paging, rows: Sequence[T], document: Callable[[T], dict[str, Json]]) -> Response:
    """Filters by members (`state=active,reserved`, `relatedParty.id=…`), then cuts a page (TMF630 part 1, 4.4)."""
    query = request.query_params
    filters = [key for key in query if key not in PAGING]
    first, end = paging.offset, paging.offset + min(paging.limit, MAX_PAGE)
    if filters:
        found = [document(row) for row in rows]
        for key in filters:
            wanted = {value for given in query.getlist(key) for value in given.split(",")}
            found = [one for one in found if wanted & set(_values(one, key.split(".")))]
        total, part = len(found), found[first:end]
    else:
        total, part = len(rows), [document(row) for row in rows[first:end]]
    headers = {"X-Total-Count": str(total), "X-Result-Count": str(len(part))}
    chosen = [select(one, paging.fields) for one in part]
    if len(part) == total:
        return json_response(chosen, 200, headers)
    # 206 tells that there is more (TMF630 part 1, 4.4.2); RFC 9110 section 14.4 has the position, counted from 0.
    headers["Content-Range"] = f"items {first}-{first + len(part) - 1}/{total}" if part else f"items */{total}"
    return json_response(chosen, 206, headers)


def _values(document: Json, path: list[str]) -> list[str]:
    if isinstance(document, list):
        return [value for one in document for value in _values(one, path)]
    if path:
        return _values(document[path[0]], path[1:]) if isinstance(document, dict) and path[0] in document else []
    return [document if isinstance(document, str) else json.dumps(document)]

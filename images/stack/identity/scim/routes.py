"""/scim/v2: CRUD on tenants, users and programs, for administrators (RFC 7644)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from identity.credentials import hash_password, new_token
from identity.directory import Directory, DirectoryError, InUse, NotFound, NotUnique, Stale, UnknownTenant
from identity.oauth.routes import bearer_error
from identity.records import ADMIN, Program, Record, fold
from identity.tokens import Tokens, is_bound_to

from . import schemas
from .errors import MEDIA_TYPE, ScimError, invalid
from .paths import Json, locate, parse_filter, patch
from .resources import KINDS, Kind, etag, present, read

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ROOT = "/scim/v2"
MAXIMUM_BODY = 65_536


class Scim:
    def __init__(self, directory: Directory, tokens: Tokens) -> None:
        self._directory = directory
        self._tokens = tokens

    def router(self) -> APIRouter:
        routes = APIRouter()

        @routes.api_route(ROOT + "/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        async def scim(rest: str, request: Request) -> Response:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAXIMUM_BODY:
                    return ScimError(413, f"the body is longer than {MAXIMUM_BODY} octets").response()
            return await run_in_threadpool(self._serve, rest, request, bytes(body))

        return routes

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Whatever else fails below /scim/v2 (other methods) is told in SCIM's own words."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}
            if scope["type"] == "http" and scope["path"].startswith(ROOT + "/") and scope["method"] not in methods:
                await ScimError(405, "this method is not possible here").response()(scope, receive, send)
            else:
                await app(scope, receive, send)

        return wrapped

    def _serve(self, rest: str, request: Request, body: bytes) -> Response:
        try:
            if refused := self._refuse(request):
                return refused
            head, _, tail = rest.partition("/")
            if head in _DISCOVERY:
                return _discover(request, head, tail)
            if head not in KINDS or "/" in tail:
                raise ScimError(404, f"there is nothing at {request.url.path}")
            kind = KINDS[head]
            return self._one(kind, tail, request, body) if tail else self._all(kind, request, body)
        except ScimError as error:
            return error.response()
        except DirectoryError as error:
            return _of_directory(error).response()

    def _refuse(self, request: Request) -> Response | None:
        """Administrators only; the token is judged here and now, so a revoked one is refused at once."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return bearer_error(401, None, "an access token is needed")
        claims = self._tokens.judge(token.strip())
        state: dict[str, Any] = request.scope.get("state") or {}
        if claims is None or not is_bound_to(claims, state.get("peer_certificate")):
            return bearer_error(401, "invalid_token", "the token is not valid, or bound to another certificate")
        if ADMIN not in claims["roles"]:
            raise ScimError(403, "only administrators may look at or change accounts")
        return None

    def _all(self, kind: Kind, request: Request, body: bytes) -> Response:
        if request.method == "GET":
            return self._list(kind, request)
        if request.method != "POST":
            raise ScimError(405, "only GET and POST are possible here", Allow="GET, POST")
        record = read(kind, _json(request, body), None)
        secret = None
        if isinstance(record, Program) and record.secret is None:
            secret = new_token()
            record = replace(record, secret=hash_password(secret))
        resource = present(kind, saved := self._directory.insert(record), self._tokens.issuer)
        if secret is not None:
            resource["secret"] = secret  # this once: only its hash is kept
        headers = {"Location": resource["meta"]["location"], "ETag": etag(saved), "Cache-Control": "no-store"}
        return JSONResponse(resource, 201, headers, MEDIA_TYPE)

    def _list(self, kind: Kind, request: Request) -> Response:
        where: tuple[str, str] | None = None
        if (text := request.query_params.get("filter")) is not None:
            name, value = parse_filter(text)
            found = locate(kind.urn, kind.extension, name)
            spelled = found[1].name if found else name.lower()
            if spelled not in kind.filters:
                names = ", ".join(kind.filters)
                raise ScimError(400, f"{name} cannot be filtered by; these can: {names}", "invalidFilter")
            where = kind.filters[spelled], fold(value) if spelled == "userName" else value
            where = where[0], where[1].encode("utf-8", "replace").decode()
        start = max(1, _number(request, "startIndex", 1))
        count = min(schemas.MAXIMUM_PAGE, max(0, _number(request, "count", 100)))
        total, records = self._directory.page(kind.record, where, start, count)
        return _list_response([present(kind, one, self._tokens.issuer) for one in records], total, start)

    def _one(self, kind: Kind, record_id: str, request: Request, body: bytes) -> Response:
        record = self._directory.get(kind.record, record_id)
        if record is None:
            raise ScimError(404, f"there is no {kind.name} {record_id!r}")
        if request.method == "GET":
            if request.headers.get("if-none-match") in {etag(record), "*"}:
                return Response(status_code=304, headers={"ETag": etag(record)})
            return self._resource(kind, record)
        match = request.headers.get("if-match")
        if match not in {None, "*"} and etag(record) not in [entry.strip() for entry in (match or "").split(",")]:
            raise ScimError(412, f"If-Match does not hold: its version is {etag(record)}")
        if request.method == "DELETE":
            self._directory.delete(kind.record, record_id, record.version if match else None)
            return Response(status_code=204)
        if request.method == "PUT":
            wanted = read(kind, _json(request, body), record)
        elif request.method == "PATCH":
            base = present(kind, record, self._tokens.issuer)
            wanted = read(
                kind, _with_schemas(patch(base, _json(request, body), kind.urn, kind.extension), kind), record
            )
        else:
            raise ScimError(405, "POST is not possible here", Allow="GET, PUT, PATCH, DELETE")
        # Writing what is there already is no change: `labctl up` may be run twice.
        return self._resource(kind, record if wanted == record else self._directory.update(wanted, record.version))

    def _resource(self, kind: Kind, record: Record) -> Response:
        resource = present(kind, record, self._tokens.issuer)
        return JSONResponse(resource, 200, {"ETag": etag(record), "Cache-Control": "no-store"}, MEDIA_TYPE)


def _with_schemas(resource: Json, kind: Kind) -> Json:
    named = [kind.urn] + ([kind.extension] if kind.extension and kind.extension in resource else [])
    return {**resource, "schemas": named}


def _json(request: Request, body: bytes) -> Any:
    media = request.headers.get("content-type", MEDIA_TYPE).partition(";")[0].strip().lower()
    if media not in {MEDIA_TYPE, "application/json"}:
        raise ScimError(415, f"the body must be {MEDIA_TYPE}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ScimError(400, "the body is not JSON", "invalidSyntax") from None


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.lstrip("-").isdecimal() or not text.isascii() or text.count("-") > 1 or len(text) > 10:
        raise invalid(f"{name} must be an integer")
    return int(text)


def _of_directory(error: DirectoryError) -> ScimError:
    match error:
        case NotUnique():
            return ScimError(409, str(error), "uniqueness")
        case UnknownTenant():
            return ScimError(400, str(error), "invalidValue")
        case Stale():
            return ScimError(412, str(error))
        case NotFound():
            return ScimError(404, str(error))
        case InUse():
            return ScimError(409, str(error))
    return ScimError(400, str(error))


def _list_response(resources: list[Json], total: int, start: int) -> Response:
    body = {
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }
    return JSONResponse(body, 200, {"Cache-Control": "no-store"}, MEDIA_TYPE)


_DISCOVERY = {"ServiceProviderConfig", "ResourceTypes", "Schemas"}


def _discover(request: Request, head: str, tail: str) -> Response:
    """RFC 7644 section 4."""
    if request.method != "GET":
        raise ScimError(405, "only GET is possible here", Allow="GET")
    if "filter" in request.query_params:
        raise ScimError(403, "a filter is not possible here (RFC 7644 section 4)")
    if head == "ServiceProviderConfig":
        if tail:
            raise ScimError(404, f"there is nothing at {request.url.path}")
        return JSONResponse(schemas.provider(), media_type=MEDIA_TYPE)
    entries = schemas.resource_types() if head == "ResourceTypes" else schemas.schemas()
    if not tail:
        return _list_response(entries, len(entries), 1)
    for entry in entries:
        if entry["id"] == tail:
            return JSONResponse(entry, media_type=MEDIA_TYPE)
    raise ScimError(404, f"there is no {head[:-1]} {tail!r}")

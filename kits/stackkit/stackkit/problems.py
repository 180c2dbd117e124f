"""Errors over HTTP as problem details (RFC 9457), for every way in which a request can fail."""

from __future__ import annotations

import http
import json
import logging
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stackkit import logs

if TYPE_CHECKING:
    from fastapi import FastAPI

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class Problem(HTTPException):
    """An error that the client is told about; raise it anywhere below a request.

    Args:
        status: HTTP status code.
        title: what kind of problem this is, the same words each time (RFC 9457 section 3.1.3).
        detail: what is wrong this time and what would mend it.
        field: JSON pointer (RFC 6901) of the member of the request that is to blame.
        headers: further header fields of the response.
        ext: extension members (RFC 9457 section 3.2); `type` replaces the type URI that is made from the title.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        field: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **ext: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.status = status
        self.title = title
        self.field = field
        self.ext = ext

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}"

    def body(self) -> dict[str, Any]:
        """The problem as the JSON object of RFC 9457."""
        members: dict[str, Any] = {
            "type": type_of(self.status, self.title),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            members["errors"] = [{"detail": self.detail, "pointer": self.field}]
        members.update(self.ext)
        if "order" not in members and (order := logs.order.get()) is not None:
            members["order"] = order
        return members

    def response(self) -> Response:
        """The problem as an HTTP response."""
        content = json.dumps(self.body(), ensure_ascii=False, default=str)
        # RFC 9110 section 9.3.2 has HEAD and 204 without content; Starlette and uvicorn see to that.
        return Response(content, self.status, dict(self.headers or {}), MEDIA_TYPE)


def type_of(status: int, title: str) -> str:
    """URI of a kind of problem: `about:blank` if the status says it all (RFC 9457 section 4.2.1), else a URN of
    ours.
    """
    if title == _phrase(status):
        return "about:blank"
    return "urn:elasticlab:problem:" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def pointer(path: Sequence[str | int]) -> str:
    """JSON pointer (RFC 6901) of a path of names and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem: raised ones, failed validation (400), unknown paths and methods, and
    whatever nobody caught (500).
    """
    # Not above: components that serve without FastAPI start in two thirds of the time.
    refused = import_module("fastapi.exceptions").RequestValidationError

    async def on_validation(_request: Request, error: Any) -> Response:
        return of_validation(error.errors()).response()

    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(refused, on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Guard)


class Guard:
    """Outermost: what nobody caught is logged with its trace and its order, and the client learns nothing of it
    but the status 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            problem = error if isinstance(error, Problem) else None
            if problem is None:
                log.exception("unhandled error in %s %s", scope["method"], scope["path"])
            if started:
                raise  # too late for a problem: the server cuts the connection, so nobody takes half an answer for all
            await (problem or internal()).response()(scope, receive, send)


def internal() -> Problem:
    """What a client is told of an error that is ours."""
    return Problem(500, _phrase(500), "The server failed; its log names the reason.")


def of_http(error: HTTPException) -> Problem:
    """An exception of Starlette or FastAPI (404, 405, …) as a problem."""
    if isinstance(error, Problem):
        return error
    detail = error.detail if isinstance(error.detail, str) else json.dumps(error.detail, default=str)
    return Problem(error.status_code, _phrase(error.status_code), detail, headers=error.headers)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Errors of pydantic as one problem with status 400: each names the member by JSON pointer, or the parameter
    and where it stands.
    """
    entries = [_validation_entry(error) for error in errors]
    first = entries[0] if entries else {"detail": "The request is not valid."}
    place = first.get("pointer") or first.get("parameter") or "the body"
    return Problem(400, "Invalid request", f"{place}: {first['detail']}", errors=entries)


def _validation_entry(error: Mapping[str, Any]) -> dict[str, Any]:
    where, *path = error["loc"] or ("body",)
    detail = str(error["msg"])
    if error["type"] == "json_invalid":  # the location is an offset in the text, not a member
        reason = (error.get("ctx") or {}).get("error", detail)
        return {"detail": f"not JSON: {reason} at character {path[0] if path else 0}", "pointer": ""}
    if where == "body":
        return {"detail": detail, "pointer": pointer(path)}
    return {"detail": detail, "parameter": ".".join(map(str, path)), "in": str(where)}


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = of_http(error)
    if problem.status == 404 and problem.detail == problem.title:
        problem.detail = f"Nothing is at {request.url.path}."
    elif problem.status == 405 and problem.detail == problem.title:
        problem.detail = f"{request.method} is not possible here; the header field Allow names what is."
    return problem.response()


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"

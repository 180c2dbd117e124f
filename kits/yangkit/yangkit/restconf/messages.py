"""HTTP as ASGI 3 gives it: requests with a bounded body, responses, and errors with their status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from yangkit.errors import RpcError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[str, str]]


class Unauthorized(Exception):
    """Nobody whom we know: 401 with this WWW-Authenticate (RFC 9110, section 15.5.2)."""

    def __init__(self, www_authenticate: str, message: str = "Authentication is required") -> None:
        super().__init__(message)
        self.www_authenticate = www_authenticate
        self.message = message


class Forbidden(Exception):
    """Somebody whom we know, and who may not come in: 403."""

    def __init__(self, message: str = "You have no access to this server") -> None:
        super().__init__(message)
        self.message = message


class HttpError(Exception):
    """An error with a status of its own, where the error's tag alone does not tell it."""

    def __init__(self, status: int, error: RpcError, headers: Headers | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers or []


def protocol_error(status: int, tag: str, message: str, headers: Headers | None = None) -> HttpError:
    """An error of the protocol."""
    return HttpError(status, RpcError(tag, message, type="protocol"), headers)


def bad_request(message: str, tag: str = "invalid-value") -> HttpError:
    """The request makes no sense."""
    return protocol_error(400, tag, message)


def not_found(what: str) -> HttpError:
    """RFC 8040, section 7: the error-tag of 404 is invalid-value."""
    return protocol_error(404, "invalid-value", f"{what} does not exist")


def not_allowed(method: str, allowed: list[str]) -> HttpError:
    """The resource has no such method."""
    message = f"{method} is not possible here; possible: {', '.join(allowed)}"
    return protocol_error(405, "operation-not-supported", message, [("allow", ", ".join(allowed))])


@dataclass
class Request:
    """One request, its body read."""

    method: str
    path: str  # as sent: still percent-encoded
    query: str  # likewise
    headers: dict[str, str]
    user: str
    body: bytes = b""

    @property
    def mutates(self) -> bool:
        """Does it ask for a change?"""
        return self.method in ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Response:
    """An answer; ``stream`` instead of ``body`` never ends by itself."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None


def headers_of(scope: Scope) -> dict[str, str]:
    """Header fields by their lower-case names; repeated ones are one list (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def read_body(headers: dict[str, str], receive: Receive, limit: int) -> bytes:
    """The whole body; 413 when it is longer than the limit (RFC 8040, section 7: too-big)."""
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
        raise _too_big(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_big(limit)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_big(limit: int) -> HttpError:
    return protocol_error(413, "too-big", f"the body is longer than {limit} bytes")


class ClientGone(Exception):
    """The client left before its request was complete."""


async def send_response(send: Send, response: Response, head: bool) -> None:
    """Write an answer; for HEAD without its body."""
    headers = [*response.headers, ("cache-control", "no-cache")]
    if response.stream is None and response.status not in (204, 304):
        headers.append(("content-length", str(len(response.body))))
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    if response.stream is None or head:
        await send({"type": "http.response.body", "body": b"" if head else response.body})
        return
    async for part in response.stream:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

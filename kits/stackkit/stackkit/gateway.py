"""What stands between the server and an application: the order of a request, its log line, the limit of its body,
the end of its stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stackkit import logs
from stackkit.problems import Problem, internal

log = logging.getLogger("stackkit.access")

_ORDER = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def order_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """`order` of the W3C `baggage` header (list members `name=value;properties`, value percent-encoded), or None
    if absent or malformed.
    """
    for name, value in headers:
        if name == b"baggage":
            for member in value.decode("latin-1").split(","):
                key, _, rest = member.partition("=")
                found = unquote(rest.partition(";")[0].strip())
                if key.strip() == "order" and _ORDER.fullmatch(found):
                    return found
    return None


class Gateway:
    """Wraps an application; shared by all listeners that serve it."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max_body = max_body
        self._streams: set[asyncio.Task[object]] = set()
        self._stopping = False

    def end_streams(self) -> None:
        """End all event streams; their clients see a complete response and come again when we are back."""
        self._stopping = True
        for task in self._streams:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        order = order_of(scope["headers"])
        scope["state"]["order"] = order
        mark = logs.order.set(order)
        exchange = _Exchange(scope, receive, send, self._max_body)
        try:
            await self._run(scope, exchange)
        finally:
            exchange.note()
            logs.order.reset(mark)

    async def _run(self, scope: Scope, exchange: _Exchange) -> None:
        task = asyncio.current_task()
        assert task is not None
        exchange.on_stream = lambda: self._stream(task)
        try:
            await exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not (self._stopping and task in self._streams):
                raise
            task.uncancel()
            await exchange.finish()
        except Exception as error:
            if not isinstance(error, Problem):
                log.exception("unhandled error in %s %s", scope["method"], scope["path"])
            if exchange.status is None:
                problem = error if isinstance(error, Problem) else internal()
                await problem.response()(scope, exchange.receive, exchange.send)
        finally:
            self._streams.discard(task)

    def _stream(self, task: asyncio.Task[object]) -> None:
        self._streams.add(task)
        if self._stopping:
            task.cancel()


class _Exchange:
    """One request and its response, watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._left = self._max_body = max_body
        self._began = time.monotonic()
        self._complete = False
        self.status: int | None = None
        self.on_stream: Callable[[], None] | None = None

    async def check_length(self) -> None:
        """Refuse by `content-length` before a byte of the body is read."""
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_body:
                await self._drain()
                raise self._too_large()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                if message.get("more_body", False):
                    await self._drain()
                raise self._too_large()
        return message

    async def _drain(self) -> None:
        """Read on for a while: a client that is cut while it sends gets a reset, and never reads why."""
        left, more = 16 * self._max_body, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while more and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    more = message["type"] == "http.request" and message.get("more_body", False)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kinds = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
            if self.on_stream is not None and kinds and kinds[0].startswith(b"text/event-stream"):
                self.on_stream()
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
        await self._send(message)

    async def finish(self) -> None:
        """End a response that would go on."""
        if self.status is not None and not self._complete:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def note(self) -> None:
        """The access log's line. The query stays out of it: it may hold codes and other secrets."""
        client = self._scope.get("client")
        log.info(
            "%s %s %s",
            self._scope["method"],
            self._scope["path"],
            self.status or "-",
            extra={
                "peer": client[0] if client else None,
                "milliseconds": round((time.monotonic() - self._began) * 1000, 1),
            },
        )

    def _too_large(self) -> Problem:
        headers = {"connection": "close"}  # what is left of the body will not be read
        return Problem(413, "Content Too Large", f"The body may have {self._max_body} bytes at most.", headers=headers)

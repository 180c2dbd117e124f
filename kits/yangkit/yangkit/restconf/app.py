"""The ASGI application: who asks, for which resource, and how the answer or the error is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from yangkit.errors import RpcError
from yangkit.restconf import discovery, invoking, media, problems, query
from yangkit.restconf.data import DataResources
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import (
    ClientGone,
    Forbidden,
    HttpError,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    Unauthorized,
    headers_of,
    not_allowed,
    not_found,
    protocol_error,
    read_body,
    send_response,
)
from yangkit.restconf.streams import Stream
from yangkit.server import NetconfServer

log = logging.getLogger(__name__)
Authenticate = Callable[[Scope], Awaitable[str]]
_READ = ["GET", "HEAD", "OPTIONS"]
_STREAMS: dict[str, Encoding] = {"NETCONF": "xml", "NETCONF-JSON": "json"}


class RestconfApp:
    """Serves the datastores of a NETCONF server to RESTCONF clients.

    ``authenticate`` gets the ASGI scope and tells the user's name as access control (RFC 8341) knows it, or raises
    ``Unauthorized`` or ``Forbidden``. Edits go to running at once (RFC 8040, section 1.4).
    """

    def __init__(self, server: NetconfServer, *, authenticate: Authenticate, root: str = "/restconf") -> None:
        if not root.startswith("/") or root.endswith("/"):
            raise ValueError(f"root must be a path like /restconf, not {root!r}")
        self._server = server
        self._schema = server.stores.schema
        self._authenticate = authenticate
        self._root = root
        self._data = DataResources(server, root)
        self._streams: set[Stream] = set()
        self._tasks: set[asyncio.Task[Response]] = set()
        server.state.providers.append(lambda: discovery.monitoring(root, _STREAMS))

    async def close(self) -> None:
        """End the event streams; edits that are under way are carried through."""
        for stream in list(self._streams):
            stream.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1002})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
        request = Request(
            scope["method"].upper(),
            raw.partition(b"?")[0].decode("latin-1"),
            scope.get("query_string", b"").decode("latin-1"),
            headers_of(scope),
            "",
        )
        try:
            response = await self._answer(request, scope, receive)
        except ClientGone:
            return
        except Exception as error:
            response = self._failure(request, error)
        await send_response(send, response, request.method == "HEAD")

    def _failure(self, request: Request, error: Exception) -> Response:
        headers = []
        if isinstance(error, Unauthorized):
            headers.append(("www-authenticate", error.www_authenticate))
            status, shown = 401, RpcError("access-denied", error.message, type="protocol")
        elif isinstance(error, Forbidden):
            status, shown = 403, RpcError("access-denied", error.message, type="protocol")
        elif isinstance(error, HttpError):
            status, shown, headers = error.status, error.error, error.headers
        elif isinstance(error, RpcError):
            status, shown = problems.status_of(error), error
        else:
            log.exception("%s %s failed unexpectedly", request.method, request.path, exc_info=error)
            status, shown = 500, RpcError("operation-failed", f"Internal error: {type(error).__name__}")
        try:
            encoding = media.negotiate(request)
        except HttpError:
            encoding = media.preferred(request)
        return problems.response(self._schema, status, shown, encoding, headers)

    # -- routing -----------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, scope: Scope, receive: Receive) -> Response:
        if request.path == "/.well-known/host-meta":
            return discovery.host_meta(request, self._root)
        path = request.path
        if path != self._root and not path.startswith(f"{self._root}/"):
            raise not_found(path)
        request.user = await self._authenticate(scope)
        place = path[len(self._root) :].removesuffix("/")
        kind, _, rest = place.removeprefix("/").partition("/")
        if kind == "streams":
            return self._stream(request, rest, receive)
        request.body = await read_body(request.headers, receive, self._server.limits.message_size)
        if kind == "data":
            return await self._carried_through(self._data.handle(request, place[len("/data") :]))
        if kind == "operations" and rest:
            return await self._carried_through(self._operation(request, rest))
        return self._fixed(request, place)

    async def _carried_through(self, work: Awaitable[Response]) -> Response:
        """Whatever was begun is finished, also when the client leaves."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def _fixed(self, request: Request, place: str) -> Response:
        """The API resource (section 3.3), the list of operations and the library's version."""
        if place not in ("", "/operations", "/yang-library-version"):
            raise not_found(request.path)
        if request.method not in _READ:
            raise not_allowed(request.method, _READ)
        if request.method == "OPTIONS":
            return Response(200, b"", [("allow", ", ".join(_READ))])
        encoding = media.negotiate(request)
        query.parameters(request, ())
        if place == "/operations":
            body = invoking.listing(self._server, encoding)
        else:
            body = discovery.api(self._schema, encoding, whole=not place)
        return Response(200, body, [("content-type", f"application/yang-data+{encoding}")])

    async def _operation(self, request: Request, name: str) -> Response:
        rpc = invoking.rpc_named(self._schema, name)
        methods = ["OPTIONS", "POST"]
        if request.method not in methods:
            raise not_allowed(request.method, methods)
        if request.method == "OPTIONS":
            return Response(200, b"", [("allow", ", ".join(methods))])
        encoding = media.negotiate(request)
        query.parameters(request, ())
        access = self._data.access(request.user)
        return await invoking.call_rpc(self._server, access, request, rpc, encoding)

    def _stream(self, request: Request, name: str, receive: Receive) -> Response:
        encoding = _STREAMS.get(name)
        if encoding is None:
            raise not_found(request.path)
        if request.method not in _READ:
            raise not_allowed(request.method, _READ)
        if request.method == "OPTIONS":
            return Response(200, b"", [("allow", ", ".join(_READ))])
        if media.choose(request.headers.get("accept", "*/*"), [media.EVENTS]) is None:
            raise protocol_error(406, "invalid-value", f"possible is: {media.EVENTS}")
        # Neither replay nor filters (sections 4.8.4, 4.8.7, 4.8.8): their parameters are refused.
        query.parameters(request, ())
        headers = [("content-type", media.EVENTS)]
        if request.method == "HEAD":
            return Response(200, b"", headers)
        limits = self._server.limits
        if len(self._streams) >= limits.sessions:
            raise RpcError("resource-denied", f"there are {limits.sessions} event streams already", type="protocol")
        user = request.user
        stream = Stream(
            self._server.notifications, encoding, lambda: self._data.access(user), limits.waiting_notifications
        )
        self._streams.add(stream)
        return Response(200, b"", headers, stream.parts(receive, self._streams.discard))

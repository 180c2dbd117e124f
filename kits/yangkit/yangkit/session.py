"""One NETCONF session of the server: hello, framing, one message after the other (RFC 6241, sections 3, 4 and 8.1)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from lxml import etree

from yangkit import nacm, xmlutil
from yangkit.errors import RpcError
from yangkit.framing import Framer, FramingError, MessageTooBig
from yangkit.tree import Container
from yangkit.xmlutil import BASE_1_0, BASE_1_1, NC, escape_attribute, nc, split, text_of

if TYPE_CHECKING:
    from yangkit.server import NetconfServer

log = logging.getLogger(__name__)
_BATCH = 16
_INBOX_HIGH = 64


class Transport(Protocol):
    """What a session needs of SSH or TLS."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


@dataclass
class Counters:
    """Statistics of RFC 6022, section 2.1.5."""

    in_rpcs: int = 0
    in_bad_rpcs: int = 0
    out_rpc_errors: int = 0
    out_notifications: int = 0


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, and how it came."""

    user: str
    host: str
    transport: str  # an identity of ietf-netconf-monitoring
    certificate: bytes | None = None  # DER, over TLS


class Session:
    """Speaks NETCONF with one client over a transport that has authenticated it."""

    def __init__(self, server: NetconfServer, peer: Peer, transport: Transport, number: int) -> None:
        self.id = number
        self.peer = peer
        self.user = peer.user
        self.login_time = datetime.now(UTC)
        self.counters = Counters()
        self._server = server
        self._transport = transport
        self._framer = Framer(server.limits.message_size)
        self._inbox: deque[bytes] = deque()
        self._open = False
        self._busy: asyncio.Task[None] | None = None
        self._ended = False
        self._ending: str | None = None
        self._writable = True
        self._reading = True
        self._hello_timer = asyncio.get_running_loop().call_later(server.limits.hello_seconds, self._no_hello)
        self._access: tuple[object, nacm.Access] | None = None
        self._notices: deque[bytes] = deque()
        transport.write(self._framer.frame(server.hello(number)))

    # -- called by the transport -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._ended:
            return
        self._framer.feed(data)
        try:
            while (message := self._framer.next()) is not None:
                if self._open:
                    self._inbox.append(message)
                else:
                    self._hello(message)
                if self._ended:
                    return
        except MessageTooBig as error:
            self._send_error(None, RpcError("too-big", str(error), type="rpc"))
            self.end("dropped")
            return
        except FramingError as error:
            log.info("session %d breaks the framing: %s", self.id, error)
            self.end("dropped")
            return
        self._pump()

    def connection_lost(self) -> None:
        """The transport is gone."""
        self.end("dropped")

    def pause_writing(self) -> None:
        """The client does not read: its requests wait."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable = True
        while self._notices and self._writable and not self._ended:
            self._transport.write(self._framer.frame(self._notices.popleft()))
        self._pump()

    # -- hello -------------------------------------------------------------------------------------------------------

    def _hello(self, message: bytes) -> None:
        try:
            hello = xmlutil.parse(message)
        except xmlutil.MalformedXml as error:
            self._refuse(f"a malformed hello: {error}")
            return
        capabilities = {text_of(c) for c in hello.iterfind(f"{nc('capabilities')}/{nc('capability')}")}
        if hello.tag != nc("hello") or hello.find(nc("session-id")) is not None:
            self._refuse("no hello of a client (RFC 6241, section 8.1)")
        elif BASE_1_1 in capabilities:
            self._framer.chunked = True
            self._opened()
        elif BASE_1_0 in capabilities:
            self._opened()
        else:
            self._refuse("no common base capability")

    def _opened(self) -> None:
        self._open = True
        self._hello_timer.cancel()
        self._server.session_opened(self)

    def _refuse(self, reason: str) -> None:
        log.info("session %d from %s is refused: %s", self.id, self.peer.host, reason)
        self._server.counters["in-bad-hellos"] += 1
        self.end("bad-hello")

    def _no_hello(self) -> None:
        self._refuse("no hello in time")

    # -- messages ----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Handle waiting messages: at once where that is possible, a few at a time for the others' sake."""
        handled = 0
        while self._inbox and self._busy is None and self._writable and not self._ended:
            if handled == _BATCH:
                asyncio.get_running_loop().call_soon(self._pump)
                break
            handled += 1
            self._handle(self._inbox.popleft())
        self._throttle()

    def _throttle(self) -> None:
        if self._ended:
            return
        if self._reading and len(self._inbox) > _INBOX_HIGH:
            self._reading = False
            self._transport.pause_reading()
        elif not self._reading and len(self._inbox) <= _INBOX_HIGH // 2:
            self._reading = True
            self._transport.resume_reading()

    def _handle(self, message: bytes) -> None:
        try:
            rpc = xmlutil.parse(message)
        except xmlutil.MalformedXml as error:
            self.counters.in_bad_rpcs += 1
            self._server.counters["in-bad-rpcs"] += 1
            if not self._framer.chunked:
                # malformed-message exists in base:1.1 only (RFC 6241, appendix A).
                self.end("dropped")
                return
            self._send_error(None, RpcError("malformed-message", f"Malformed message: {error}"))
            return
        self.counters.in_rpcs += 1
        self._server.counters["in-rpcs"] += 1
        try:
            operation = _operation(rpc)
            result = self._server.operations.call(self, operation)
        except RpcError as error:
            self._send_error(rpc, error)
        except Exception as error:
            self._unexpected(rpc, error)
        else:
            if isinstance(result, str):
                self._send_reply(rpc, result)
            else:
                self._busy = asyncio.create_task(self._finish(rpc, result))

    async def _finish(self, rpc: etree._Element, result: Awaitable[str]) -> None:
        """An operation that takes time; it is carried through even if the client leaves."""
        try:
            self._send_reply(rpc, await result)
        except RpcError as error:
            self._send_error(rpc, error)
        except Exception as error:
            self._unexpected(rpc, error)
        finally:
            self._busy = None
        self._pump()

    def _unexpected(self, rpc: etree._Element, error: Exception) -> None:
        log.exception("session %d: an operation failed unexpectedly", self.id)
        self._send_error(rpc, RpcError("operation-failed", f"Internal error: {type(error).__name__}"))

    # -- output ------------------------------------------------------------------------------------------------------

    def _send_reply(self, rpc: etree._Element | None, content: str) -> None:
        if self._ended:
            return
        attributes = _attributes(rpc) if rpc is not None else ""
        reply = f'<?xml version="1.0" encoding="UTF-8"?><rpc-reply xmlns="{NC}"{attributes}>{content}</rpc-reply>'
        self._transport.write(self._framer.frame(reply.encode("utf-8", "replace")))
        if self._ending is not None:
            self.end(self._ending)

    def _send_error(self, rpc: etree._Element | None, error: RpcError) -> None:
        self.counters.out_rpc_errors += 1
        self._server.counters["out-rpc-errors"] += 1
        self._send_reply(rpc, error.to_xml())

    def notify(self, notification: bytes) -> None:
        """Send a notification."""
        if self._ended:
            return
        self.counters.out_notifications += 1
        self._server.counters["out-notifications"] += 1
        if self._writable:
            self._transport.write(self._framer.frame(notification))
        elif len(self._notices) < self._server.limits.waiting_notifications:
            self._notices.append(notification)
        else:
            log.warning("session %d does not read its notifications", self.id)
            self.end("dropped")

    # -- rights and end ----------------------------------------------------------------------------------------------

    def access(self, running: Container | None = None) -> nacm.Access:
        """What this session's user may do now, or with another tree as running."""
        rules = nacm.Rules.of(self._server.stores.schema, running or self._server.stores.running_tree)
        if self._access is None or self._access[0] is not rules:
            self._access = rules, self._server.access(rules, self.user)
        return self._access[1]

    @property
    def is_open(self) -> bool:
        """Have both sides said hello?"""
        return self._open and not self._ended

    @property
    def is_busy(self) -> bool:
        """Is an operation under way?"""
        return self._busy is not None

    def close_after_reply(self, reason: str) -> None:
        """End the session when the reply is written (RFC 6241, section 7.8)."""
        self._ending = reason

    def end(self, reason: str, killed_by: int | None = None) -> None:
        """End the session; what it holds is given back."""
        if self._ended:
            return
        self._ended = True
        self._hello_timer.cancel()
        self._inbox.clear()
        self._server.session_ended(self, self._open, reason, killed_by)
        self._transport.close()

    async def finished(self) -> None:
        """Wait for the operation in hand."""
        if self._busy is not None:
            await asyncio.gather(self._busy, return_exceptions=True)


def _operation(rpc: etree._Element) -> etree._Element:
    """The one operation of an <rpc> (RFC 6241, section 4.1)."""
    if rpc.tag != nc("rpc"):
        name = split(rpc)[1]
        raise RpcError("malformed-message", f"{name} is no message of a client")
    if "message-id" not in rpc.attrib:
        info = {"bad-attribute": "message-id", "bad-element": "rpc"}
        raise RpcError("missing-attribute", "an rpc needs a message-id", type="rpc", info=info)
    if len(rpc) != 1:
        problem = "no operation" if len(rpc) == 0 else "more than one operation"
        tag = "missing-element" if len(rpc) == 0 else "bad-element"
        raise RpcError(tag, f"the rpc holds {problem}", type="rpc", info={"bad-element": "rpc"})
    return rpc[0]


def _attributes(rpc: etree._Element) -> str:
    """The attributes of an <rpc>, which its reply repeats (RFC 6241, section 4.2)."""
    if rpc.tag != nc("rpc"):
        return ""
    text = ""
    prefixes = {ns: prefix for prefix, ns in rpc.nsmap.items() if prefix}
    for attribute, value in rpc.attrib.items():
        namespace, name = xmlutil.split_name(str(attribute))
        if namespace is None:
            text += f' {name}="{escape_attribute(str(value))}"'
        elif namespace in prefixes:
            prefix = prefixes[namespace]
            text += f' xmlns:{prefix}="{escape_attribute(namespace)}"' if f" xmlns:{prefix}=" not in text else ""
            text += f' {prefix}:{name}="{escape_attribute(str(value))}"'
        else:
            text += f' xml:{name}="{escape_attribute(str(value))}"'
    return text

"""An asyncio NETCONF client over SSH (RFC 6242) and TLS (RFC 7589), calling and being called (RFC 8071).

Requests may overlap: each awaits its own reply by message-id. Every call has a deadline; ``TimeoutError`` says that it
has passed, ``ConnectionError`` that the session is gone, ``RpcError`` that the server refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from types import TracebackType
from typing import Any, Self

from lxml import etree

from yangkit import client_transport, errors, xmlutil
from yangkit.client_transport import Wire
from yangkit.framing import END_OF_MESSAGE, Framer, FramingError
from yangkit.xmlutil import BASE_1_0, BASE_1_1, MONITORING, NC, NOTIFICATION, WITH_DEFAULTS, escape_attribute, nc

Xml = str | bytes | etree._Element
DEADLINE = 30.0
_CLIENT_HELLO = (
    f'<?xml version="1.0" encoding="UTF-8"?><hello xmlns="{NC}"><capabilities>'
    f"<capability>{BASE_1_0}</capability><capability>{BASE_1_1}</capability></capabilities></hello>"
).encode()
_LIMIT = 256 * 1024 * 1024


class NetconfClient:
    """One NETCONF session. Made by ``connect_ssh``, ``connect_tls`` and the listeners for calls home."""

    def __init__(self, wire: Wire, deadline: float = DEADLINE) -> None:
        self.deadline = deadline
        self.session_id = 0
        self.capabilities: frozenset[str] = frozenset()
        #: Notifications as they come: <notification> elements.
        self.notifications: asyncio.Queue[etree._Element] = asyncio.Queue()
        self._wire = wire
        self._framer = Framer(_LIMIT)
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[etree._Element]] = {}
        self._problem: Exception | None = None
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        #: When the server was last heard of, in the loop's time.
        self.heard = self._loop.time()
        wire.receiver = self

    @classmethod
    async def start(cls, wire: Wire, deadline: float = DEADLINE) -> Self:
        """Exchange hellos (RFC 6241, section 8.1) on a connection that is up."""
        # Before anything is read: the server's hello may be here already, and changes the framing.
        wire.write(_CLIENT_HELLO + END_OF_MESSAGE)
        client = cls(wire, deadline)
        try:
            async with asyncio.timeout(deadline):
                await client._hello
        except BaseException:
            wire.abort()
            raise
        return client

    # -- called by the wire ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the server."""
        self.heard = self._loop.time()
        self._framer.feed(data)
        try:
            while (message := self._framer.next()) is not None:
                self._message(xmlutil.parse(message))
        except (FramingError, xmlutil.MalformedXml) as error:
            self._fail(ConnectionError(f"the server does not speak NETCONF: {error}"))
            self._wire.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._fail(ConnectionError(f"the connection is gone: {error}" if error else "the server closed the session"))
        self._closed.set()

    def _message(self, root: etree._Element) -> None:
        if root.tag == nc("rpc-reply"):
            future = self._waiting.pop(root.get("message-id") or "", None)
            if future is not None and not future.done():
                future.set_result(root)
            elif root.get("message-id") is None and (failed := root.findall(nc("rpc-error"))):
                self._fail(errors.from_xml(failed))
        elif root.tag == f"{{{NOTIFICATION}}}notification":
            self.notifications.put_nowait(root)
        elif root.tag == nc("hello") and not self._hello.done():
            self._greeted(root)

    def _greeted(self, hello: etree._Element) -> None:
        listed = hello.iterfind(f"{nc('capabilities')}/{nc('capability')}")
        self.capabilities = frozenset(xmlutil.text_of(capability) for capability in listed)
        number = hello.find(nc("session-id"))
        if number is None or not self.capabilities & {BASE_1_0, BASE_1_1}:
            self._fail(ConnectionError("the server's hello has no session-id or no base capability"))
            return
        self.session_id = int(xmlutil.text_of(number))
        self._framer.chunked = BASE_1_1 in self.capabilities
        self._hello.set_result(None)

    def _fail(self, problem: Exception) -> None:
        self._problem = self._problem or problem
        waiting: list[asyncio.Future[Any]] = [self._hello, *self._waiting.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(problem)
                future.exception()  # whoever awaits it gets it; nobody must
        self._waiting.clear()

    # -- any operation -----------------------------------------------------------------------------------------------

    async def rpc(self, operation: Xml, deadline: float | None = None) -> etree._Element:
        """Call an operation and return its <rpc-reply>; RpcError when that holds an error."""
        if self._problem is not None:
            raise self._problem
        number = str(next(self._numbers))
        body = etree.tostring(operation) if isinstance(operation, etree._Element) else operation
        text = body.encode() if isinstance(body, str) else body
        future: asyncio.Future[etree._Element] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        message = b'<rpc xmlns="%b" message-id="%b">%b</rpc>' % (NC.encode(), number.encode(), text)
        self._wire.write(self._framer.frame(message))
        try:
            async with asyncio.timeout(self.deadline if deadline is None else deadline):
                reply = await future
        finally:
            self._waiting.pop(number, None)
        failed = reply.findall(nc("rpc-error"))
        if failed and any(xmlutil.text_of(e) == "error" for f in failed for e in f.iterfind(nc("error-severity"))):
            raise errors.from_xml(failed)
        return reply

    # -- reading -----------------------------------------------------------------------------------------------------

    async def get(
        self,
        filter: Xml | None = None,
        *,
        xpath: str | None = None,
        namespaces: Mapping[str, str] | None = None,
        with_defaults: str | None = None,
        deadline: float | None = None,
    ) -> etree._Element:
        """Configuration and state: the <data> element. ``filter`` is the inside of a subtree filter."""
        body = _filter(filter, xpath, namespaces) + _mode(with_defaults)
        return _data(await self.rpc(f"<get>{body}</get>", deadline))

    async def get_config(
        self,
        source: str = "running",
        filter: Xml | None = None,
        *,
        xpath: str | None = None,
        namespaces: Mapping[str, str] | None = None,
        with_defaults: str | None = None,
        deadline: float | None = None,
    ) -> etree._Element:
        """A configuration: the <data> element."""
        body = f"<source><{source}/></source>{_filter(filter, xpath, namespaces)}{_mode(with_defaults)}"
        return _data(await self.rpc(f"<get-config>{body}</get-config>", deadline))

    async def get_schema(self, identifier: str, version: str | None = None, deadline: float | None = None) -> str:
        """The YANG text of a module (RFC 6022)."""
        which = f"<version>{version}</version>" if version is not None else ""
        body = f'<get-schema xmlns="{MONITORING}"><identifier>{identifier}</identifier>{which}</get-schema>'
        reply = await self.rpc(body, deadline)
        return reply.findtext(f"{{{MONITORING}}}data") or ""

    # -- writing -----------------------------------------------------------------------------------------------------

    async def edit_config(
        self,
        config: Xml,
        target: str = "candidate",
        *,
        default_operation: str | None = None,
        test_option: str | None = None,
        error_option: str | None = None,
        deadline: float | None = None,
    ) -> None:
        """Edit a configuration; ``config`` is a <config> element or what belongs into one."""
        body = f"<target><{target}/></target>"
        for name, value in (
            ("default-operation", default_operation),
            ("test-option", test_option),
            ("error-option", error_option),
        ):
            body += f"<{name}>{value}</{name}>" if value is not None else ""
        await self.rpc(f"<edit-config>{body}{_config(config)}</edit-config>", deadline)

    async def copy_config(self, source: str | etree._Element, target: str, deadline: float | None = None) -> None:
        """Replace a datastore by another one, or by a <config> element."""
        origin = f"<{source}/>" if isinstance(source, str) else _config(source)
        body = f"<target><{target}/></target><source>{origin}</source>"
        await self.rpc(f"<copy-config>{body}</copy-config>", deadline)

    async def commit(
        self,
        *,
        confirmed: bool = False,
        confirm_timeout: int | None = None,
        persist: str | None = None,
        persist_id: str | None = None,
        deadline: float | None = None,
    ) -> None:
        """Commit the candidate, for good or until it is confirmed (RFC 6241, section 8.4)."""
        body = "<confirmed/>" if confirmed else ""
        body += f"<confirm-timeout>{confirm_timeout}</confirm-timeout>" if confirm_timeout is not None else ""
        body += f"<persist>{xmlutil.escape(persist)}</persist>" if persist is not None else ""
        body += f"<persist-id>{xmlutil.escape(persist_id)}</persist-id>" if persist_id is not None else ""
        await self.rpc(f"<commit>{body}</commit>", deadline)

    async def cancel_commit(self, persist_id: str | None = None, deadline: float | None = None) -> None:
        """Give a confirmed commit up."""
        body = f"<persist-id>{xmlutil.escape(persist_id)}</persist-id>" if persist_id is not None else ""
        await self.rpc(f"<cancel-commit>{body}</cancel-commit>", deadline)

    async def discard(self, deadline: float | None = None) -> None:
        """Throw the changes of the candidate away."""
        await self.rpc("<discard-changes/>", deadline)

    async def validate(self, source: str = "candidate", deadline: float | None = None) -> None:
        """Validate a datastore."""
        await self.rpc(f"<validate><source><{source}/></source></validate>", deadline)

    async def lock(self, target: str, deadline: float | None = None) -> None:
        """Lock a datastore."""
        await self.rpc(f"<lock><target><{target}/></target></lock>", deadline)

    async def unlock(self, target: str, deadline: float | None = None) -> None:
        """Unlock a datastore."""
        await self.rpc(f"<unlock><target><{target}/></target></unlock>", deadline)

    async def kill_session(self, session_id: int, deadline: float | None = None) -> None:
        """End another session."""
        await self.rpc(f"<kill-session><session-id>{session_id}</session-id></kill-session>", deadline)

    async def subscribe(self, filter: Xml | None = None, deadline: float | None = None) -> None:
        """Have notifications (RFC 5277) put into ``notifications``."""
        body = _filter(filter, None, None, NOTIFICATION) if filter is not None else ""
        await self.rpc(f'<create-subscription xmlns="{NOTIFICATION}">{body}</create-subscription>', deadline)

    # -- end ---------------------------------------------------------------------------------------------------------

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's certificate (DER) when the session runs over TLS."""
        return self._wire.peer_certificate

    async def close(self) -> None:
        """End the session and its connection."""
        try:
            if self._problem is None:
                await self.rpc("<close-session/>", 5)
        except (ConnectionError, TimeoutError, errors.RpcError):
            pass
        finally:
            await self._wire.close()

    def is_heard_of(self, seconds: float) -> bool:
        """Is the server's machine there, however long its program takes to answer? See ``Wire.is_heard_of``."""
        return self._wire.is_heard_of(seconds)

    def abort(self) -> None:
        """Drop the connection at once, as a crash would."""
        self._wire.abort()

    async def wait_closed(self) -> None:
        """Wait until the session is gone."""
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect_ssh(host: str, port: int = 830, *, deadline: float = DEADLINE, **settings: object) -> NetconfClient:
    """A session over SSH; the settings are those of ``client_transport.ssh``."""
    async with asyncio.timeout(deadline):
        wire = await client_transport.ssh(host, port, **settings)  # type: ignore[arg-type]
    return await NetconfClient.start(wire, deadline)


async def connect_tls(host: str, port: int = 6513, *, deadline: float = DEADLINE, **settings: object) -> NetconfClient:
    """A session over TLS; the settings are those of ``client_transport.tls``."""
    async with asyncio.timeout(deadline):
        wire = await client_transport.tls(host, port, **settings)  # type: ignore[arg-type]
    return await NetconfClient.start(wire, deadline)


class CallHomeListener:
    """Where servers call; each that comes and proves who it is becomes a client session."""

    def __init__(self, wires: client_transport.WireListener, deadline: float) -> None:
        self._wires = wires
        self._deadline = deadline

    @property
    def port(self) -> int:
        """The bound port."""
        return self._wires.port

    async def accept(self, deadline: float = DEADLINE) -> NetconfClient:
        """The session with the next server that calls."""
        async with asyncio.timeout(deadline):
            wire = await self._wires.queue.get()
        return await NetconfClient.start(wire, self._deadline)

    async def close(self) -> None:
        """Take no more calls."""
        await self._wires.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def listen_call_home_ssh(
    host: str = "", port: int = 4334, *, deadline: float = DEADLINE, **settings: object
) -> CallHomeListener:
    """Take calls of servers over SSH; the settings are those of ``client_transport.listen_ssh``."""
    return CallHomeListener(await client_transport.listen_ssh(host, port, **settings), deadline)  # type: ignore[arg-type]


async def listen_call_home_tls(
    host: str = "", port: int = 4335, *, deadline: float = DEADLINE, **settings: object
) -> CallHomeListener:
    """Take calls of servers over TLS; the settings are those of ``client_transport.listen_tls``."""
    return CallHomeListener(await client_transport.listen_tls(host, port, **settings), deadline)  # type: ignore[arg-type]


# -- pieces of XML


def _text(xml: Xml) -> str:
    if isinstance(xml, etree._Element):
        return etree.tostring(xml, encoding="unicode", with_tail=False)
    return xml.decode() if isinstance(xml, bytes) else xml


def _config(config: Xml) -> str:
    if isinstance(config, etree._Element) and config.tag in (nc("config"), "config"):
        config.tag = nc("config")
        return _text(config)
    return f'<config xmlns:nc="{NC}" xmlns:yang="{xmlutil.YANG1}">{_text(config)}</config>'


def _filter(
    subtree: Xml | None, xpath: str | None, namespaces: Mapping[str, str] | None, space: str | None = None
) -> str:
    own = f' xmlns="{space}"' if space else ""
    if xpath is not None:
        spaces = "".join(f' xmlns:{p}="{escape_attribute(ns)}"' for p, ns in (namespaces or {}).items())
        return f'<filter{own}{spaces} type="xpath" select="{escape_attribute(xpath)}"/>'
    if subtree is None:
        return ""
    return f'<filter{own} type="subtree">{_text(subtree)}</filter>'


def _mode(mode: str | None) -> str:
    return f'<with-defaults xmlns="{WITH_DEFAULTS}">{mode}</with-defaults>' if mode is not None else ""


def _data(reply: etree._Element) -> etree._Element:
    found = reply.find(nc("data"))
    if found is None:
        raise ConnectionError("the reply holds no data")
    return found

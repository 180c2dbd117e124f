"""The event stream NETCONF as server-sent events (RFC 8040, section 6)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable

from yangkit import treexml
from yangkit.nacm import Access
from yangkit.notifications import Notifications, Told
from yangkit.restconf.encode import members
from yangkit.restconf.media import Encoding
from yangkit.restconf.messages import Receive
from yangkit.xmlutil import NOTIFICATION

log = logging.getLogger(__name__)
_HEARTBEAT = 15.0


class Stream:
    """What one client is told, from the moment of its request on."""

    def __init__(
        self, notifications: Notifications, encoding: Encoding, access: Callable[[], Access], waiting: int
    ) -> None:
        self._notifications = notifications
        self._encoding = encoding
        self._access = access
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(waiting)
        notifications.watchers.add(self._tell)

    def _tell(self, event: Told) -> None:
        if not self._access().may_notify(event.module, event.name):
            return
        try:
            self._queue.put_nowait(_frame(event, self._encoding))
        except asyncio.QueueFull:
            log.warning("a client does not read its event stream; the stream ends")
            self.end()

    def end(self) -> None:
        """No more events."""
        self._notifications.watchers.discard(self._tell)
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def parts(self, receive: Receive, ended: Callable[[Stream], None]) -> AsyncIterator[bytes]:
        """The body: a comment at once, so that the client knows that it is heard, then events."""
        gone = asyncio.create_task(_disconnected(receive, self.end))
        try:
            yield b": events of the stream NETCONF\n\n"
            while True:
                try:
                    part = await asyncio.wait_for(self._queue.get(), _HEARTBEAT)
                except TimeoutError:
                    part = b": still here\n\n"
                if part is None:
                    return
                yield part
        finally:
            gone.cancel()
            self._notifications.watchers.discard(self._tell)
            ended(self)


async def _disconnected(receive: Receive, end: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    end()


def _frame(event: Told, encoding: Encoding) -> bytes:
    if encoding == "json":
        text = json.dumps({"ietf-restconf:notification": {"eventTime": event.time, **members(event.tree)}})
    else:
        time = f"<eventTime>{event.time}</eventTime>"
        text = f'<notification xmlns="{NOTIFICATION}">{time}{treexml.dump(event.tree)}</notification>'
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return ("".join(f"data: {line}\n" for line in lines) + "\n").encode("utf-8", "replace")

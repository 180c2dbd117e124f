"""uvicorn's HTTP/1.1 protocol with what a server on an open network needs besides: deadlines, and the client's
certificate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

FIRST_REQUEST_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0


class State(ServerState):
    """What the connections of one listener share."""

    def __init__(self) -> None:
        self._date = (0, b"")
        super().__init__()
        self.empty = asyncio.Event()
        self.empty.set()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The `date` of now; uvicorn's own server would renew it with a timer."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return [(b"date", self._date[1])]

    @default_headers.setter
    def default_headers(self, _value: list[tuple[bytes, bytes]]) -> None:
        """uvicorn sets an empty list at first."""


class Protocol(HttpToolsProtocol):
    """A connection after its handshake."""

    def __init__(self, config: Config, state: State, app_state: dict[str, Any], on_lost: Callable[[], None]) -> None:
        super().__init__(config, state, app_state)
        self._state = state
        self._on_lost = on_lost
        self._deadline: asyncio.TimerHandle | None = None
        self.connected = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.connected = True
        super().connection_made(transport)
        self._state.empty.clear()
        tls = transport.get_extra_info("ssl_object")
        # OpenSSL gives a certificate only after it verified it: with CERT_OPTIONAL a bad one ends the handshake.
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.app_state = {**self.app_state, "peer_certificate": certificate or None}
        self._arm(FIRST_REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        if not self.connections:
            self._state.empty.set()
        self._on_lost()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arm(REQUEST_SECONDS)

    def on_message_complete(self) -> None:
        self._disarm()
        super().on_message_complete()

    def _arm(self, seconds: float) -> None:
        """Cut a peer that has not sent its request whole by then, however slowly it drips."""
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self.transport.abort()

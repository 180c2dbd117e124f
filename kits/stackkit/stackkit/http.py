"""The HTTP client of components: TLS by our context only, deadlines on everything, the order id carried on, careful
repeats.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from typing import Final

import httpx

from stackkit import logs

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 15.0
DEADLINE_SECONDS: Final = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

# RFC 9110 section 9.2.2. A POST that was cut may have been carried out: only its sender can know whether to ask again.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_BROKEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


def client(
    context: ssl.SSLContext, auth: httpx.Auth | None = None, base_url: str = "", deadline: float = DEADLINE_SECONDS
) -> httpx.AsyncClient:
    """A client whose requests end within `deadline` seconds with a response's header, or an `httpx.TransportError`.

    A body that streams (server-sent events) may go on; give such a request `timeout=httpx.Timeout(…, read=None)`.
    Idempotent requests are repeated within the deadline if the connection fails; a failed TLS check is final.
    Proxies of the environment are not used: components speak to each other directly.
    """
    return httpx.AsyncClient(
        transport=_Persistent(httpx.AsyncHTTPTransport(verify=context, trust_env=False), deadline),
        auth=auth,
        base_url=base_url,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
    )


def baggage(existing: str | None, order: str) -> str:
    """The W3C `baggage` header with `order=ID` and whatever else was in it."""
    others = [
        member.strip()
        for member in (existing or "").split(",")
        if member.strip() and member.split("=")[0].strip() != "order"
    ]
    return ",".join([*others, f"order={order}"])


class _Persistent(httpx.AsyncBaseTransport):
    """Adds the order and repeats what may be repeated."""

    def __init__(self, inner: httpx.AsyncBaseTransport, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (order := logs.order.get()) is not None:
            request.headers["baggage"] = baggage(request.headers.get("baggage"), order)
        try:
            async with asyncio.timeout(self._deadline):
                return await self._attempts(request, time.monotonic() + self._deadline)
        except TimeoutError:
            message = f"no answer to {request.method} {request.url.copy_with(query=None)} in {self._deadline:g} s"
            raise httpx.ReadTimeout(message, request=request) from None

    async def _attempts(self, request: httpx.Request, end: float) -> httpx.Response:
        repeatable = request.method in IDEMPOTENT and isinstance(request.stream, httpx.ByteStream)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._inner.handle_async_request(request)
            except _BROKEN as error:
                if not repeatable or _is_tls(error) or time.monotonic() + pause >= end:
                    raise
                log.debug("%s %s: %s; trying again", request.method, request.url.host, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads clients, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _is_tls(error: BaseException) -> bool:
    """Whether TLS itself refused: another attempt would end alike."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return True
        link = link.__cause__ or link.__context__
    return False

"""The client: the order travels, deadlines hold, only what is safe is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from stackkit import http, logs, tls

from .conftest import Pki, Serving


async def test_order_travels_beside_other_baggage(serving: Serving, pki: Pki) -> None:
    app = FastAPI()

    @app.get("/")
    async def root(request: Request) -> list[str | None]:
        return [request.state.order, request.headers.get("baggage"), logs.order.get()]

    async with serving(app) as running, http.client(tls.client_context(pki.ca.path), base_url=running.url) as client:
        assert (await client.get("/")).json() == [None, None, None]
        mark = logs.order.set("o-5")
        sent = await client.get("/", headers={"baggage": "a=1, order=old"})
        logs.order.reset(mark)
        assert sent.json() == ["o-5", "a=1,order=o-5", "o-5"]


@asynccontextmanager
async def raw(
    pki: Pki, handle: Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[tuple[str, list[int]]]:
    """A TLS server whose n-th connection is handled by `handle(n, …)`."""
    seen: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(len(seen))
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            await handle(seen[-1], reader, writer)
        writer.close()

    context = tls.server_context(pki.server.cert, pki.server.key)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/", seen
    finally:
        server.close()


async def second_time(number: int, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if number == 0:
        writer.transport.abort()
    else:
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()


async def test_idempotent_is_repeated(pki: Pki) -> None:
    async with raw(pki, second_time) as (url, seen), http.client(tls.client_context(pki.ca.path)) as client:
        assert (await client.put(url, content=b"x")).status_code == 204
        assert len(seen) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_others_are_not(pki: Pki, method: str) -> None:
    async with raw(pki, second_time) as (url, seen), http.client(tls.client_context(pki.ca.path)) as client:
        with pytest.raises(httpx.TransportError):
            await client.request(method, url, content=b"x")
        assert len(seen) == 1


async def test_deadline_over_all_attempts(pki: Pki) -> None:
    async def silent(_number: int, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    began = time.monotonic()
    async with raw(pki, silent) as (url, _), http.client(tls.client_context(pki.ca.path), deadline=0.3) as client:
        with pytest.raises(httpx.ReadTimeout, match=r"no answer to GET .* in 0.3 s"):
            await client.get(url + "?code=hidden")
    async with http.client(tls.client_context(pki.ca.path), deadline=0.3) as client:
        with pytest.raises(httpx.TransportError):
            await client.get("https://localhost:9/")
    assert time.monotonic() - began < 2


async def test_failed_check_is_final(serving: Serving, pki: Pki) -> None:
    async with serving(FastAPI()) as running:
        began = time.monotonic()
        async with http.client(tls.client_context(pki.other.path)) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(running.url)
        assert time.monotonic() - began < 1


async def test_name_of_the_server_is_checked(serving: Serving, pki: Pki) -> None:
    async with serving(FastAPI(), host="127.0.0.2") as running, http.client(tls.client_context(pki.ca.path)) as client:
        with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.2"):
            await client.get(f"https://127.0.0.2:{running.port}")


def test_old_tls_is_not_spoken(pki: Pki) -> None:
    context = tls.server_context(pki.server.cert, pki.server.key)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert all(cipher["aead"] for cipher in context.get_ciphers())


def test_bad_files_are_named(pki: Pki) -> None:
    with pytest.raises(OSError, match=r"certificate .*server.* with key .*KEY_VALUES_MISMATCH"):
        tls.server_context(pki.server.cert, pki.client.key)
    with pytest.raises(FileNotFoundError, match="CA /nowhere"):
        tls.client_context("/nowhere")
    with pytest.raises(ValueError, match="client_ca"):
        tls.server_context(pki.server.cert, pki.server.key, require_client=True)

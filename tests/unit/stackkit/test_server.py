"""The server on real sockets: who gets in, who is refused and reported, what an application learns, how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import sys
import textwrap
from asyncio import sslproto
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from stackkit import http, server, tls
from yangkit import memory

from .conftest import Pki, Serving


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    async def who(request: Request) -> dict[str, object]:
        peer = request.state.peer_certificate
        return {"peer": peer.hex() if peer else None, "order": request.state.order}

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/slow")
    async def slow() -> str:
        app.state.slow_has_begun = True
        await asyncio.sleep(0.3)
        return "done"

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def forever() -> AsyncIterator[str]:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(forever(), media_type="text/event-stream")

    return app


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Poll: the server tells nobody else when it has refused someone."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def trusting(pki: Pki, who: object = None) -> ssl.SSLContext:
    return tls.client_context(pki.ca.path, getattr(who, "cert", None), getattr(who, "key", None))


async def test_application_learns_the_verified_certificate(serving: Serving, pki: Pki) -> None:
    async with (
        serving(application()) as running,
        http.client(trusting(pki, pki.client), base_url=running.url) as client,
    ):
        assert (await client.get("/who")).json()["peer"] == pki.client.der.hex()
        assert running.refused == []


async def test_no_certificate_is_none(serving: Serving, pki: Pki) -> None:
    async with serving(application()) as running, http.client(trusting(pki), base_url=running.url) as client:
        response = await client.get("/who")
        assert response.json() == {"peer": None, "order": None}
        assert "date" in response.headers
        assert "server" not in response.headers


@pytest.mark.parametrize(
    ("who", "required", "reason"),
    [
        ("stranger", False, "certificate refused: "),
        ("stranger", True, "certificate refused: "),
        ("expired", False, "certificate refused: certificate has expired"),
        (None, True, "no certificate: "),
    ],
)
async def test_refused_and_reported(serving: Serving, pki: Pki, who: str | None, required: bool, reason: str) -> None:
    context = trusting(pki, getattr(pki, who) if who else None)
    async with serving(application(), require_client=required) as running:
        async with http.client(context, base_url=running.url) as client:
            with pytest.raises(httpx.TransportError):
                await client.post("/echo")
        await until(lambda: running.refused)
        assert len(running.refused) == 1
        assert running.refused[0][0] == "127.0.0.1"
        assert running.refused[0][1].startswith(reason)


async def test_garbage_is_refused(serving: Serving) -> None:
    async with serving(application()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await until(lambda: running.refused)
        assert running.refused[0][1].startswith("not TLS")


async def test_slow_handshake_is_cut(serving: Serving) -> None:
    async with serving(application(), handshake_seconds=0.2) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        await until(lambda: running.refused)
        assert running.refused == [("127.0.0.1", "no handshake within 0.2 s")]


async def test_connection_that_goes_away_in_the_handshake(serving: Serving) -> None:
    async with serving(application()) as running:
        _reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.close()
        await until(lambda: running.refused)
        assert running.refused[0][1] == "connection closed during the handshake"


async def test_a_stuck_handshake_holds_nobody_else_up(serving: Serving, pki: Pki) -> None:
    async with serving(application(), handshake_seconds=60) as running:
        stuck = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(5)]
        async with http.client(trusting(pki), base_url=running.url) as client, asyncio.timeout(20):
            assert (await client.get("/who")).status_code == 200
        for _reader, writer in stuck:
            writer.close()


async def test_limit_of_connections(serving: Serving, pki: Pki) -> None:
    async with serving(application(), limit_per_peer=1) as running:
        async with http.client(trusting(pki), base_url=running.url) as first:
            assert (await first.get("/who")).status_code == 200
            async with http.client(trusting(pki), base_url=running.url, deadline=0.3) as second:
                with pytest.raises(httpx.TransportError):
                    await second.get("/who")
            assert running.refused[0][1].startswith("too many connections")
        async with http.client(trusting(pki), base_url=running.url) as third:  # the first has left
            assert (await third.get("/who")).status_code == 200


async def test_revoked_certificate_is_refused_from_the_next_handshake(
    serving: Serving, pki: Pki, tmp_path: Path
) -> None:
    crl = pki.ca.crl(tmp_path / "crl.pem")
    files = (pki.server.cert, pki.server.key, pki.ca.path)
    context = tls.Contexts(lambda: tls.server_context(*files, require_client=True, crl=crl), [*files, crl])
    async with serving(application(), context=context) as running:
        async with http.client(trusting(pki, pki.client), base_url=running.url) as client:
            assert (await client.get("/who")).status_code == 200
        pki.ca.crl(crl, pki.client.certificate)
        async with http.client(trusting(pki, pki.client), base_url=running.url) as client:
            with pytest.raises(httpx.TransportError):
                await client.post("/echo")
        await until(lambda: running.refused)
        assert running.refused[0][1] == "certificate refused: certificate revoked"


async def test_order_of_baggage(serving: Serving, pki: Pki) -> None:
    async with serving(application()) as running, http.client(trusting(pki), base_url=running.url) as client:
        for header, order in [("a=1, order=o-17;p=x", "o-17"), ("order=bad%0Aline", None), ("reorder=1", None)]:
            assert (await client.get("/who", headers={"baggage": header})).json()["order"] == order


async def test_body_over_the_limit(serving: Serving, pki: Pki) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    small = serving(application(), max_body=1000)
    async with small as running, http.client(trusting(pki), base_url=running.url) as client:
        assert (await client.post("/echo", content=b"x" * 1000)).json() == 1000
        for body in (b"x" * 1001, chunks()):
            response = await client.post("/echo", content=body)
            assert response.status_code == 413
    async with serving(application()) as running, http.client(trusting(pki), base_url=running.url) as client:
        assert (await client.post("/echo", content=b"x" * 500_000)).json() == 500_000


async def test_request_that_drips_is_cut(serving: Serving, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackkit.protocol.REQUEST_SECONDS", 0.2)
    async with serving(application()) as running:
        reader, writer = await asyncio.open_connection("localhost", running.port, ssl=trusting(pki))
        writer.write(b"POST /echo HTTP/1.1\r\ncontent-length: 1000\r\n")
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_stop_ends_streams_and_lets_requests_finish(serving: Serving, pki: Pki) -> None:
    app = application()
    async with serving(app) as running, http.client(trusting(pki), base_url=running.url) as client:
        slow = asyncio.create_task(client.get("/slow"))
        await until(lambda: getattr(app.state, "slow_has_begun", False))
        async with client.stream("GET", "/events") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "data: tick"
            stopping = asyncio.create_task(running.server.stop())
            async with asyncio.timeout(20):
                rest = [line async for line in lines]  # ends whole: a cut chunked body would raise
            assert rest
        assert (await slow).json() == "done"
        async with asyncio.timeout(20):
            await stopping


async def test_stop_cuts_what_outlasts_the_grace(serving: Serving, pki: Pki) -> None:
    app = FastAPI()

    @app.get("/never")
    async def never() -> None:
        await asyncio.sleep(3600)

    async with serving(app, grace=0.1) as running, http.client(trusting(pki), base_url=running.url) as client:
        request = asyncio.create_task(client.send(client.build_request("GET", "/never")))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            await running.server.stop()
        request.cancel()


async def test_two_listeners_with_their_own_applications(pki: Pki) -> None:
    first, second = FastAPI(), FastAPI()
    first.add_api_route("/", lambda: "first")
    second.add_api_route("/", lambda: "second")
    open_context = tls.server_context(pki.server.cert, pki.server.key)
    strict = tls.server_context(pki.server.cert, pki.server.key, pki.ca.path, require_client=True)
    listeners = [server.Listener("127.0.0.1", 0, open_context), server.Listener("127.0.0.1", 0, strict, app=second)]
    running = server.Server(first, listeners)
    await running.start()
    try:
        async with http.client(trusting(pki, pki.client)) as client:
            answers = [(await client.get(f"https://localhost:{port}/")).json() for port in running.ports]
        assert answers == ["first", "second"]
    finally:
        await running.stop()


async def test_lifespan_runs_and_its_failure_is_told(serving: Serving, pki: Pki) -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append("start")
        yield {"given": "by lifespan"}
        seen.append("stop")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def root(request: Request) -> str:
        return str(request.state.given)

    async with serving(app) as running, http.client(trusting(pki), base_url=running.url) as client:
        assert (await client.get("/")).json() == "by lifespan"
    assert seen == ["start", "stop"]

    @contextlib.asynccontextmanager
    async def broken(_app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no")
        yield

    with pytest.raises(server.StartError):
        async with serving(FastAPI(lifespan=broken)):
            pass


async def test_address_in_use_is_named(serving: Serving, pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = server.Listener("127.0.0.1", port, tls.server_context(pki.server.cert, pki.server.key))
        with pytest.raises(server.StartError, match=f"127.0.0.1 port {port}"):
            await server.Server(FastAPI(), [listener]).start()


async def test_error_nobody_caught_tells_nothing(serving: Serving, pki: Pki) -> None:
    async def bare(scope: dict[str, object], _receive: object, _send: object) -> None:
        assert scope["type"] == "http"
        raise RuntimeError("internal detail")

    async with serving(bare) as running, http.client(trusting(pki), base_url=running.url) as client:
        response = await client.get("/")
        assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
        assert "internal detail" not in response.text


async def test_a_connection_takes_little_and_what_it_took_goes_back(
    serving: Serving, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio would take 256 KiB for each, and glibc keep the holes that they leave."""
    async with serving(application()) as running, http.client(trusting(pki), base_url=running.url) as client:
        await client.get("/who")
        buffers = [len(one._ssl_buffer) for one in gc.get_objects() if isinstance(one, sslproto.SSLProtocol)]
        assert max(buffers) <= 32 * 1024

    given = asyncio.Event()
    monkeypatch.setattr(memory, "EVERY", 0.001)
    monkeypatch.setattr(memory, "give_back", given.set)
    stop = asyncio.Event()
    listener = server.Listener("127.0.0.1", 0, tls.server_context(pki.server.cert, pki.server.key))
    work = asyncio.create_task(server.serve(FastAPI(), [listener], stop=stop))
    async with asyncio.timeout(10):
        await given.wait()
        stop.set()
        await work


async def test_sigterm_ends_serve(pki: Pki, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from fastapi import FastAPI
            from stackkit import server, tls
            listener = server.Listener("127.0.0.1", 0, tls.server_context(sys.argv[1], sys.argv[2]))
            asyncio.run(server.serve(FastAPI(), [listener], ready=lambda s: print(s.ports[0], flush=True)))
            print("ended", flush=True)
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    arguments = [str(program), str(pki.server.cert), str(pki.server.key)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert int(await asyncio.wait_for(process.stdout.readline(), 20))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.stdout.read(), 10) == b"ended\n"
    assert await process.wait() == 0

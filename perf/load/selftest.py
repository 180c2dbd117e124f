"""What the generator can do by itself: requests to a server on loopback, in a process of its own, that does nothing.

python -m perf.load.selftest                    # is that server; says its port
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import httpx

_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n" + b'{"id":"1"}'
_AT_ONCE = 10


async def _serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].split(b":")[1]))
                writer.write(_ANSWER)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until whoever wanted it is gone


async def capacity(seconds: float = 1.0) -> float:
    """Requests a second."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "perf.load.selftest", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout
    assert child.stdin
    try:
        port = int(await child.stdout.readline())
        done = 0

        async def ask(web: httpx.AsyncClient, until: float) -> None:
            nonlocal done
            while time.monotonic() < until:
                (await web.post(f"http://127.0.0.1:{port}/", json={"serviceOrderItem": []})).raise_for_status()
                done += 1

        async with httpx.AsyncClient(trust_env=False) as web:
            await ask(web, time.monotonic() + 0.01)  # the first makes what the others find
            done = 0
            begun = time.monotonic()
            await asyncio.gather(*(ask(web, begun + seconds) for _ in range(_AT_ONCE)))
            return done / (time.monotonic() - begun)
    finally:
        child.stdin.close()
        await child.wait()


if __name__ == "__main__":
    asyncio.run(_serve())

"""What is south of GRO: GRO's own test peers (yangkit on the real YANG modules), over TLS, in a thread of their own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvicorn

from tests.unit.gro.peer import Controller, Network


class South:
    """Controller and manager. `certificate` is the stem of the files that both show."""

    def __init__(self, folder: Path, certificate: Path, ports: tuple[int, int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._folder = folder
        self._certificate = certificate
        self._servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
        self.controller_url, self.manager_url = (f"https://127.0.0.1:{port}" for port in ports)
        self._do(self._start(ports))

    def plug_in(self, serial: str, owner: str = "acme") -> None:
        """Registered, bootstrapped and connected."""
        self._do(self._network.plug_in(serial, owner))

    def controller_is(self, *, away: bool) -> None:
        self._do(self._network.controller.go(down=away))

    @property
    def controller(self) -> Controller:
        """What it was told."""
        return self._network.controller

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self, ports: tuple[int, int]) -> None:
        self._network = Network(self._folder)
        await self._network.start()
        for app, port in zip((self._network.controller, self._network.manager), ports, strict=True):
            config = uvicorn.Config(
                app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1,
                ssl_certfile=str(self._certificate.with_suffix(".pem")),
                ssl_keyfile=str(self._certificate.with_suffix(".key")),
            )  # fmt: skip
            server = uvicorn.Server(config)
            # It listens from here on: whoever comes before the server does waits a moment.
            listener = socket.create_server(("127.0.0.1", port))
            self._servers.append((server, asyncio.create_task(server.serve([listener]))))

    async def _stop(self) -> None:
        for server, _ in self._servers:
            server.should_exit = True
        await self._network.close()
        for _, serving in self._servers:
            await asyncio.wait_for(serving, 10)

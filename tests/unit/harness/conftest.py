"""An orchestrator on a socket that answers as a test wants it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from harness.factory import Factory, Wan
from harness.orchestrator import client
from harness.orchestrator.client import Orchestrator

Answer = tuple[int, Any]
WAN = Wan(IPv4Interface("203.0.113.6/30"), IPv4Address("203.0.113.5"))


class Server:
    """All components at one port: tokens for whoever comes, and what `answers` says of the rest."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.tokens = 0
        self.connections = 0
        self.hang_up = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def _serve(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, body = outer.answer(self.command, self.path.split("?")[0], self.rfile.read(size))
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
                self.close_connection = outer.hang_up  # without a word, as a server that restarts

            do_GET = do_POST = do_PUT = do_PATCH = _serve

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "gro.pem", folder / "gro.key")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, method: str, path: str, content: bytes) -> Answer:
        if path == "/oauth2/token":
            self.tokens += 1
            return 200, {"access_token": f"token-{self.tokens}", "expires_in": 600}
        self.asked.append((method, path, json.loads(content) if content else None))
        queue = self.answers.get((method, path), [(404, {"detail": "nothing there"})])
        return queue.pop(0) if len(queue) > 1 else queue[0]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    made = Factory.open(tmp_path_factory.mktemp("factory"))
    made.stack("stack", IPv4Address("127.0.0.1"), WAN)
    return made


@pytest.fixture
def server(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server(factory.directory / "stacks" / "stack")
    monkeypatch.setattr(client, "PORTS", dict.fromkeys(client.PORTS, running.http.server_port))
    yield running
    running.close()


@pytest.fixture
def far(factory: Factory, server: Server) -> Orchestrator:
    return Orchestrator("127.0.0.1", factory.service_ca, factory.directory / "stacks" / "stack" / "labctl-secret")

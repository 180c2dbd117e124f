"""`labctl graph --live`: a page for this machine's browser, fed by server-sent events.

Nothing but loopback is listened on, requests under another name are refused (a stranger's page cannot have them sent
under its own), and the page may load nothing but its own script and style.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Any

from harness import lab as labs
from harness.cli.graphing import drawn, tunnels_of
from harness.cli.options import console
from harness.graph.svg import STYLE, picture
from harness.host.channel import AgentError, AgentLost
from harness.lab import Lab
from harness.lab.rates import Meter

_EVERY = 1.0
_TUNNELS_EVERY = 3.0
_SCRIPT = Path(__file__).with_name("live.js").read_text(encoding="utf-8")
_PAGE_STYLE = """
body { margin: 1em; font-family: Helvetica, Arial, sans-serif }
svg { width: 100%; height: auto }
.stale { opacity: .4 }
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Watched:
    """The newest news of a lab, for however many pages: one thread asks, everybody reads."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tunnels = drawn(lab.topology, tunnels_of(lab, set(lab.nodes)))
        self._meter = Meter(lab)
        self._asked = float("-inf")
        self._news = ""
        self._number = 0
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def next(self, seen: int) -> tuple[int, str]:
        """The news after number `seen`; an empty text when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > seen or self._over.is_set())
            return self._number, "" if self._over.is_set() else self._news

    def end(self) -> None:
        with self._changed:
            self._over.set()
            self._changed.notify_all()
        self._thread.join()

    def _watch(self) -> None:
        try:
            with contextlib.suppress(AgentLost):
                while not self._over.wait(_EVERY):
                    with contextlib.suppress(AgentError, TimeoutError):  # the next look tells
                        self._look()
        finally:
            with self._changed:
                self._over.set()
                self._changed.notify_all()

    def _look(self) -> None:
        rates = self._meter.look()
        running = {used.node for used in rates.nodes}
        if time.monotonic() - self._asked > _TUNNELS_EVERY:
            self._asked = time.monotonic()
            self.tunnels = drawn(self.lab.topology, tunnels_of(self.lab, running))
        news = {
            "running": sorted(running),
            "sent": {sent.end: round(sent.bits) for sent in rates.ends},
            "tunnels": [{"a": one.ends[0], "b": one.ends[1], "state": one.state} for one in self.tunnels],
        }
        with self._changed:
            self._number, self._news = self._number + 1, json.dumps(news)
            self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, watched: Watched, request: Any, client_address: Any, server: BaseServer) -> None:
        self._watched = watched
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        assert isinstance(self.server, ThreadingHTTPServer)
        names = {f"{host}:{self.server.server_port}" for host in ("127.0.0.1", "localhost")}
        if self.headers.get("Host") not in names:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == "/events":
            self._events()
        else:
            self._file()

    def _file(self) -> None:
        if self.path == "/":
            self._answer("text/html", _page(self._watched))
        elif self.path == "/live.js":
            self._answer("text/javascript", _SCRIPT)
        elif self.path == "/live.css":
            self._answer("text/css", STYLE + _PAGE_STYLE)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def _answer(self, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        seen = 0
        with contextlib.suppress(ConnectionError):  # the page is closed
            while True:
                seen, news = self._watched.next(seen)
                if not news:
                    return
                self.wfile.write(f"data: {news}\n\n".encode())
                self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are nobody's news."""


def _page(watched: Watched) -> str:
    """With the tunnels that there are now; the script asks for it anew when there is another."""
    title = escape(f"lab {watched.lab.name}")
    svg = picture(watched.lab.topology, watched.tunnels, styled=False)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<link rel="stylesheet" href="/live.css"><script src="/live.js" defer></script></head>'
        f'<body><h1>{title}</h1><p id="state" role="status">connecting</p>{svg}</body></html>\n'
    )


def serve(name: str, port: int) -> None:
    """Until Ctrl-C, also of a script that starts it in the background."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    with labs.attach(name) as lab:
        watched = Watched(lab)
        try:
            with (
                contextlib.suppress(KeyboardInterrupt),
                ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, watched)) as server,
            ):
                server.daemon_threads = True
                console.print(f"http://127.0.0.1:{server.server_port}/   (Ctrl-C ends it)")
                server.serve_forever(poll_interval=0.2)
        finally:
            watched.end()

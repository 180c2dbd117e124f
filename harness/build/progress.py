"""Telling people what is being built and for how long: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table


class Progress(Protocol):
    """Receives what happens; called from several threads."""

    def step(self, what: str, text: str) -> None:
        """`what` (an image) has begun `text`."""

    def done(self, what: str, text: str) -> None:
        """`what` is finished; `text` says how."""


class Silent:
    """For callers that do not care."""

    def step(self, what: str, text: str) -> None:
        del what, text

    def done(self, what: str, text: str) -> None:
        del what, text


class Lines:
    """One line an event, with the seconds since the start."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.lock = threading.Lock()

    def _write(self, what: str, text: str) -> None:
        with self.lock:
            print(f"{time.monotonic() - self.start:6.1f} s  {what}: {text}", file=self.stream, flush=True)

    def step(self, what: str, text: str) -> None:
        self._write(what, text)

    def done(self, what: str, text: str) -> None:
        self._write(what, text)


class Terminal:
    """A live table of what is under way; finished images scroll above it. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.active: dict[str, tuple[str, float, float]] = {}
        self.lock = threading.Lock()
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Terminal:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        with self.lock:
            for what, (text, begun, step) in self.active.items():
                table.add_row(f"{now - begun:5.0f} s", what, f"{text} ({now - step:.0f} s)")
        return table

    def step(self, what: str, text: str) -> None:
        now = time.monotonic()
        with self.lock:
            begun = self.active[what][1] if what in self.active else now
            self.active[what] = (text, begun, now)

    def done(self, what: str, text: str) -> None:
        with self.lock:
            _, begun, _ = self.active.pop(what, ("", time.monotonic(), 0.0))
        self.console.print(f"{time.monotonic() - begun:5.0f} s  {what}: {text}", highlight=False)

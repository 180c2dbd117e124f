"""Telling people what is being done and for how long: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

Tell = Callable[[str], None]
"""Takes the news of one thing."""


class Progress(Protocol):
    """Receives what happens; called from several threads."""

    def step(self, what: str, text: str) -> None:
        """`what` (an image) has begun `text`."""

    def news(self, what: str, text: str) -> None:
        """Where `what` (a lab) stands now; may be told again and again, and not all of it is shown."""

    def done(self, what: str, text: str) -> None:
        """`what` is finished; `text` says how."""


class Silent:
    """For callers that do not care."""

    def step(self, what: str, text: str) -> None:
        del what, text

    def news(self, what: str, text: str) -> None:
        del what, text

    def done(self, what: str, text: str) -> None:
        del what, text


_SELDOM = 3.0
"""Seconds between two lines of news where they stay."""


class Lines:
    """One line an event, with the seconds since the start; of news a line now and then, none of what is over soon."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.told: dict[str, tuple[str, float]] = {}
        self.lock = threading.Lock()

    def _write(self, what: str, text: str) -> None:
        with self.lock:
            print(f"{time.monotonic() - self.start:6.1f} s  {what}: {text}", file=self.stream, flush=True)

    def step(self, what: str, text: str) -> None:
        self._write(what, text)

    def news(self, what: str, text: str) -> None:
        now = time.monotonic()
        with self.lock:
            before, at = self.told.get(what, ("", self.start))
            if text == before or now - at < _SELDOM:
                return
            self.told[what] = (text, now)
        self._write(what, text)

    def done(self, what: str, text: str) -> None:
        self._write(what, text)


class Terminal:
    """A live table of what is under way; what is finished scrolls above it. Use it as a context manager."""

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

    def news(self, what: str, text: str) -> None:
        now = time.monotonic()
        with self.lock:
            before, begun, since = self.active.get(what, ("", now, now))
            self.active[what] = (text, begun, since if text == before else now)

    def done(self, what: str, text: str) -> None:
        with self.lock:
            _, begun, _ = self.active.pop(what, ("", time.monotonic(), 0.0))
        self.console.print(f"{time.monotonic() - begun:5.0f} s  {what}: {text}", highlight=False)

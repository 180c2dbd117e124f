"""`python -m gro` in a process of its own that kills itself (SIGKILL) where a test says: forked from a server that has
imported everything, because a matrix of kills starts many.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
from gro import main as program
from stackkit import durable, settings

_context = multiprocessing.get_context("forkserver")


def start(settings_file: Path, log: Path, kill_at: str | None = None) -> ForkServerProcess:
    """The process; it may end with exit code -9 at `kill_at`."""
    _context.set_forkserver_preload([__name__])
    process = _context.Process(target=_run, args=(settings_file, log, kill_at))
    process.start()
    return process


def _run(settings_file: Path, log: Path, kill_at: str | None) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ[settings.VARIABLE] = str(settings_file)
    _stay_here()
    if kill_at is not None:
        _arm(kill_at)
    asyncio.run(program.main())


def _stay_here() -> None:
    """Callbacks that a test makes up must not reach anybody: no name but our own is found."""
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in ("localhost", "127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r:.80} is outside of this test")
        return original(host, *args, **more)

    socket.getaddrinfo = getaddrinfo


def _arm(kill_at: str) -> None:
    """Kill at a boundary: `do|undo STEP begun|done|journalled`, `accepted`, `cancel accepted` or `told`."""

    def reached(place: str) -> None:
        if place == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, name: str, before: Callable[..., str], after: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def wrapped(self: Any, *args: Any) -> Any:
            reached(before(self, *args))
            result = original(self, *args)
            reached(after(self, *args))
            return result

        setattr(owner, name, wrapped)

    def nowhere(*_: Any) -> str:
        return ""

    journal, engine = durable.Journal, durable.Engine
    around(journal, "begin_step", nowhere, lambda _, saga, name, direction, state: f"{direction} {name} begun")
    around(
        journal, "end_step",
        lambda _, saga, name, direction, *more: f"{direction} {name} done",
        lambda _, saga, name, direction, *more: f"{direction} {name} journalled",
    )  # fmt: skip
    around(engine, "launch", lambda *_: "accepted", nowhere)
    around(engine, "wake", lambda own, saga=None: _cancelled(own, saga), nowhere)
    post = httpx.AsyncClient.post

    async def told(self: httpx.AsyncClient, url: Any, **more: Any) -> httpx.Response:
        answer = await post(self, url, **more)
        if "json" in more:
            reached("told")
        return answer

    httpx.AsyncClient.post = told  # type: ignore[assignment]


def _cancelled(engine: durable.Engine, saga: str | None) -> str:
    row = engine.journal.get(saga) if saga else None
    return "cancel accepted" if row is not None and row.cancel else ""

"""The one held channel from the harness to the agent on a lab host (execnet)."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, cast

import execnet

from harness.paths import ON_HOSTS
from harness.wait import time_scale

# Runs in the lab host's own Python; the harness's folder is seen there under the same name on every kind of host.
# Nothing can be written there, and the next agents of the lab host need not compile all of it again.
# It has a session of its own: Ctrl-C is for the command that the terminal runs, which asks for what it still needs.
_START = f"""
import os, signal, sys
if os.getpgrp() != os.getpid(): os.setsid()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
sys.path[:0] = {ON_HOSTS!r}
sys.pycache_prefix, sys.dont_write_bytecode = "/run/elasticlab/code", False
from harness.agent.server import serve
serve(channel)
"""


class AgentError(RuntimeError):
    """An operation failed on the lab host; `kind` is the name of the exception there."""

    def __init__(self, operation: str, kind: str, message: str) -> None:
        super().__init__(f"{operation}: {message}")
        self.kind = kind


class AgentLost(ConnectionError):
    """The lab host or its agent went away in the middle of a call."""


@dataclass(frozen=True)
class Call:
    """One that was made: seconds since the epoch, how long it took, and its value or error."""

    at: float
    seconds: float
    operation: str
    arguments: dict[str, Any]
    outcome: Any


_KEPT = 2000


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started inside is: a terminal's Ctrl-C would end ssh, too, with what there is to be asked still."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Agent:
    """Calls into the agent; many threads may call at once."""

    def __init__(self, spec: str) -> None:
        # A group of its own: two labs in one process share no gateway names and no exit order.
        self._group = execnet.Group()
        try:
            with _deaf_to_interrupts():
                self._gateway = self._group.makegateway(spec)
            self._channel = self._gateway.remote_exec(_START)
        except (EOFError, OSError, execnet.HostNotFound) as error:
            raise AgentLost(f"no agent answers through {spec!r}: {error}") from error
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self.calls: deque[Call] = deque(maxlen=_KEPT)
        """The last ones, for who has to tell what was done to the lab."""
        self.lost = threading.Event()
        """Set when nothing can be asked any more."""
        self._channel.setcallback(self._received, endmarker=None)

    def _received(self, answer: tuple[int, bool, Any] | None) -> None:
        if answer is None:
            with self._lock:
                self._closed = True
                lost, self._waiting = list(self._waiting.values()), {}
            self.lost.set()
            for future in lost:
                future.set_exception(AgentLost(f"the agent went away: {self._why()}"))
            return
        number, well, value = answer
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting is not None:  # nobody waits any more for a call that was given up
            waiting.set_result((well, value))

    def _why(self) -> str:
        try:
            self._channel.waitclose(timeout=0)
        except Exception as error:  # execnet raises what the other side died of
            return str(error)
        return "its channel was closed"

    def call(self, operation: str, within: float = 60, /, **arguments: Any) -> Any:
        """Run an operation of `harness.agent.server` and return its value.

        Raises:
            AgentError: it failed there.
            AgentLost: the agent is gone.
            TimeoutError: no answer `within` seconds (scaled).
        """
        at, begun = time.time(), time.monotonic()
        outcome: Any = None
        try:
            outcome = self._answer(operation, within, arguments)
        except (AgentError, AgentLost, TimeoutError) as error:
            outcome = error
            raise
        finally:
            self.calls.append(Call(at, time.monotonic() - begun, operation, arguments, outcome))
        return outcome

    def _answer(self, operation: str, within: float, arguments: dict[str, Any]) -> Any:
        number = next(self._numbers)
        answer: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise AgentLost("the agent is gone")
            self._waiting[number] = answer
        try:
            try:
                self._channel.send((number, operation, arguments))
            except OSError as error:
                raise AgentLost(f"{operation}: {error}") from error
            well, value = answer.result(within * time_scale())
        except FutureTimeoutError as error:
            raise TimeoutError(f"{operation}: no answer from the agent within {within:g} s") from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if not well:
            kind, message = cast(tuple[str, str], value)
            raise AgentError(operation, kind, message)
        return value

    def close(self) -> None:
        """End the agent; what it had borrowed from the lab is given back by it."""
        with contextlib.suppress(OSError):
            self._channel.close()
        self._group.terminate(timeout=2)

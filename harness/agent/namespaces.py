"""Network namespaces by name (ip-netns(8)), entered by a thread instead of a process.

A namespace is a thread's, so a thread of its own can enter one and leave it by ending. Forking the agent for that, as
libraries do to be safe, costs a hundred milliseconds in a lab kernel; this costs four.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from harness.agent import syscalls
from harness.agent.places import NETNS

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


def _in_thread(action: Callable[[], T]) -> T:
    """Run it in a thread of its own; its value or its exception."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def inside(name: str, action: Callable[[], T]) -> T:
    """The value of `action`, run in a namespace; sockets that it opens belong there."""

    def enter() -> T:
        _enter(name)
        return action()

    return _in_thread(enter)


def inside_each(actions: Mapping[str, Callable[[], object]]) -> None:
    """Run each in its namespace, by one thread that goes from one to the next."""

    def walk() -> None:
        for name, action in actions.items():
            _enter(name)
            action()

    _in_thread(walk)


def _enter(name: str) -> None:
    with (NETNS / name).open("rb") as handle:
        syscalls.call("setns", handle.fileno(), _CLONE_NEWNET)


def create(names: Iterable[str]) -> None:
    """Make those that are not there; a file that an interrupted attempt left is used."""

    def make() -> None:
        for name in names:
            path = NETNS / name
            if not (path.exists() and os.path.ismount(path)):
                path.touch()
                syscalls.call("unshare", _CLONE_NEWNET)
                syscalls.bind(b"/proc/thread-self/ns/net", path)

    _in_thread(make)


def remove(name: str) -> None:
    """Remove it, and with it all of its interfaces that are not plugged in from outside. Idempotent."""
    path = NETNS / name
    with contextlib.suppress(OSError):  # not mounted: an empty file that an interrupted attempt left
        syscalls.unmount(path, lazily=True)
    path.unlink(missing_ok=True)

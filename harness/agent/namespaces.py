"""Network namespaces by name (ip-netns(8)), entered by a thread instead of a process.

A namespace is a thread's, so a thread of its own can enter one and leave it by ending. Forking the agent for that, as
libraries do to be safe, costs a hundred milliseconds in a lab kernel; this costs four.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from harness.agent.places import NETNS

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_MS_BIND, _MNT_DETACH = 4096, 2


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


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
        with (NETNS / name).open("rb") as handle:
            _call("setns", handle.fileno(), _CLONE_NEWNET)
        return action()

    return _in_thread(enter)


def create(name: str) -> None:
    """Make a namespace unless it is there; a file that an interrupted attempt left is used."""
    path = NETNS / name
    if path.exists() and os.path.ismount(path):
        return

    def make() -> None:
        path.touch()
        _call("unshare", _CLONE_NEWNET)
        _call("mount", b"/proc/thread-self/ns/net", os.fsencode(path), None, _MS_BIND, None)

    _in_thread(make)


def remove(name: str) -> None:
    """Remove it, and with it all of its interfaces that are not plugged in from outside. Idempotent."""
    path = NETNS / name
    with contextlib.suppress(OSError):  # not mounted: an empty file that an interrupted attempt left
        _call("umount2", os.fsencode(path), _MNT_DETACH)
    path.unlink(missing_ok=True)

"""System calls that Python has no name for. A program that makes one costs a lab kernel five milliseconds."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND, _MNT_DETACH = 4096, 2


def call(name: str, *arguments: Any, about: str = "") -> None:
    """Raises OSError, which says what it was about."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{about or name}: {os.strerror(number)}")


def mount(kind: str, source: str, target: Path, options: str) -> None:
    """mount(2) of a file system with options of its own."""
    if len(options.encode()) >= resource.getpagesize():  # the kernel would take what fits, and say nothing
        raise OSError(errno.E2BIG, f"mount {target}: its options are longer than a page")
    call("mount", source.encode(), os.fsencode(target), kind.encode(), 0, options.encode(), about=f"mount {target}")


def bind(source: bytes, target: Path) -> None:
    call("mount", source, os.fsencode(target), None, _MS_BIND, None, about=f"mount {target}")


def unmount(target: Path, *, lazily: bool = False) -> None:
    call("umount2", os.fsencode(target), _MNT_DETACH if lazily else 0, about=f"umount {target}")

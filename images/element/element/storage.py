"""Files that a power cut leaves whole: either as they were or as they are to be."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

PRIVATE = 0o600
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replace a file durably; whoever reads sees the old content or the new one. Its folder is there already."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)  # of an attempt that was cut
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync(path.parent)


def folder(path: Path) -> None:
    """Make a folder that only its owner may enter, durably."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder durably."""
    sync(source if source.is_dir() else source.parent)
    source.rename(target)
    sync(target.parent)


def exchange(one: Path, other: Path) -> None:
    """Let two folders change names, durably and at once: renameat2(2)."""
    sync(one)
    sync(other)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))
    for parent in {one.parent, other.parent}:
        sync(parent)


def remove(path: Path) -> None:
    """Remove a file durably; that there is none is no error."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Make names in a folder durable."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

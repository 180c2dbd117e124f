"""Files that survive a power cut: whole or not there, and on disk before anyone is told."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


class FactoryError(Exception):
    """The factory cannot do what it was asked; the message says why and what helps."""


def sync_directory(directory: Path) -> None:
    """Makes names in the directory durable: a rename is on disk only after this (fsync(2))."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)  # whatever the umask
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def mode_of(name: str) -> int:
    """Keys and passwords are their owner's alone; everything else here is public."""
    return PRIVATE if name.endswith((".key", "_key", "id_ed25519", "-password", "-secret")) else PUBLIC


def replace_file(path: Path, content: bytes) -> None:
    """The file with new content, atomically; readers see the old or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # of a run that was cut off; the lock keeps others out
    _write(fresh, content, mode_of(path.name))
    fresh.replace(path)
    sync_directory(path.parent)


def install_directory(path: Path, files: Mapping[str, bytes], mode: int) -> None:
    """A new directory with all its files (names may hold one slash), atomically."""
    fresh = path.with_name(f".{path.name}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    for name, content in files.items():
        target = fresh / name
        target.parent.mkdir(exist_ok=True)
        target.parent.chmod(mode)
        _write(target, content, mode_of(target.name))
    for directory in sorted({(fresh / name).parent for name in files}, reverse=True):
        sync_directory(directory)
    fresh.chmod(mode)
    sync_directory(fresh)
    fresh.rename(path)
    sync_directory(path.parent)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One factory at a time in a directory, over processes and threads; a killed holder's lock is gone with it."""
    with (directory / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

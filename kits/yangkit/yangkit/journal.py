"""A file of records that are appended, each on the disk before the call returns; a torn end is no record.

A record is a line with its length and its checksum, and its bytes. The checksum is of the place in the file and of a
random number at its beginning, too: nothing that a client had written inside a record can pass for one.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)
_HEAD = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8})\n")
_HEAD_LENGTH = 18
_SALT = 16
_BEGINNING = _SALT + _HEAD_LENGTH


class DamagedError(Exception):
    """Whole records come after one that is not whole: what they build upon is lost."""


class Journal:
    """The records that belong to something else, which ``name`` identifies; those of anything else are not read."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._name = name.encode()
        self._salt = b""
        #: Bytes that hold; None when it must not be appended to any more.
        self.size: int | None = 0

    def read(self) -> list[bytes]:
        """The whole records; DamagedError when one is missing between them."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        self._salt = data[:_SALT]
        found = list(self._records(data))
        if found and found[0][0] != self._name:
            log.warning("%s belongs to another file than the one beside it: it is not read", self.path)
            return []
        if not found and len(data) <= _BEGINNING + len(self._name):
            return []  # its very beginning is torn, which is on the disk before anything else
        end = found[-1][1] if found else 0
        if end < len(data) and (not found or any(self._record(data, at.start()) for at in _HEAD.finditer(data, end))):
            raise DamagedError(f"{self.path} is damaged at octet {end}, and whole records came after that")
        self.size = end if end == len(data) else None
        return [record for record, _ in found[1:]]

    def _records(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        place = _SALT
        while (record := self._record(data, place)) is not None:
            place += _HEAD_LENGTH + len(record)
            yield record, place

    def _record(self, data: bytes, place: int) -> bytes | None:
        head = _HEAD.match(data, place)
        if head is None:
            return None
        begin = place + _HEAD_LENGTH
        record = data[begin : begin + int(head[1], 16)]
        whole = len(record) == int(head[1], 16) and self._sum(record, place) == int(head[2], 16)
        return record if whole else None

    def _sum(self, record: bytes, place: int) -> int:
        return zlib.crc32(record, zlib.crc32(b"%s%d" % (self._salt, place)))

    def append(self, record: bytes) -> None:
        """Write a record and wait for the disk; OSError when that failed, and then it takes no more."""
        if self.size is None:
            raise OSError(f"{self.path} takes no more records")
        size, self.size = self.size, None
        flags = os.O_WRONLY | os.O_CLOEXEC | (0 if size else os.O_CREAT | os.O_TRUNC)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size != size:
                raise OSError(f"{self.path} is not as it was left")
            if not size:
                self._salt = secrets.token_hex(_SALT // 2).encode()
                size = _write(descriptor, self._salt + self._framed(self._name, _SALT), 0)
                sync_folder(self.path)
            self.size = _write(descriptor, self._framed(record, size), size)
        finally:
            os.close(descriptor)

    def _framed(self, record: bytes, place: int) -> bytes:
        return b"%08x %08x\n%s" % (len(record), self._sum(record, place), record)


def _write(descriptor: int, data: bytes, place: int) -> int:
    """Where it ends, once it is on the disk."""
    while data:
        written = os.pwrite(descriptor, data, place)
        data, place = data[written:], place + written
    os.fdatasync(descriptor)
    return place


def sync_folder(path: Path) -> None:
    """Wait until the disk knows that there is (or is not) a file of this name."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

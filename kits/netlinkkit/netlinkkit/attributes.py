"""Attributes (struct nlattr): a length, a type, a content, and zeros up to the next four octets."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_TYPE = 0x3FFF
"""Without the flags of struct nlattr."""

Attributes = dict[int, bytes]
"""Contents by type."""


def attribute(kind: int, content: bytes | str | int) -> bytes:
    """One: a text with a zero at its end, a number of 32 bits, or octets as they are."""
    octets = _octets(content)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(octets), kind) + octets + bytes(-len(octets) % 4)


def _octets(content: bytes | str | int) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() + b"\0" if isinstance(content, str) else _NUMBER.pack(content)


def attributes(data: bytes, at: int = 0) -> Attributes:
    """Contents by type; of a type that comes several times, the last."""
    return dict(each(data, at))


def each(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """Types and contents."""
    unpack, size, end = _ATTRIBUTE.unpack_from, _ATTRIBUTE.size, len(data)
    while at + size <= end:
        length, kind = unpack(data, at)
        yield kind & _TYPE, data[at + size : at + length]
        at += aligned(max(length, size))


def number(content: bytes | None) -> int | None:
    """Of whatever size."""
    return None if content is None else int.from_bytes(content, sys.byteorder)


def text(content: bytes | None) -> str:
    """Without the zero at its end; empty when nothing is told."""
    return "" if content is None else content.rstrip(b"\0").decode()


def address(content: bytes | None) -> str | None:
    """IPv4 or IPv6."""
    if content is None:
        return None
    return socket.inet_ntop(socket.AF_INET if len(content) == 4 else socket.AF_INET6, content)


def aligned(length: int) -> int:
    """With the zeros after it."""
    return (length + 3) & ~3

"""Dumps of rtnetlink(7), of which each attribute is looked at only when somebody asks for it.

pyroute2, by which everything is written, decodes in Python whatever it is told: with 200 sites that took 380 ms where
this takes 14, and a box is read several times for each change (docs/why/reading.md).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH, RTM_GETRULE = 18, 22, 26, 30, 34
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_TYPE = 0x3FFF
"""Without the flags of struct nlattr."""
_LARGEST = 1 << 18
"""Of what the kernel sends at once; it takes 32 KiB, but for a link with very many virtual functions."""
_TIMES = 10
"""So often is that read again which has changed while it was read."""

Attributes = dict[int, bytes]


def dump(kind: int, head: bytes, *, strict: bool = False) -> list[bytes]:
    """The messages that answer, without their headers; ``OSError`` when the kernel refuses.

    ``head`` is the request's own header (struct ifinfomsg and its like), with attributes. With ``strict`` the kernel
    leaves out what differs from it (since Linux 5.0; an older one tells all).
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        if strict:
            kernel.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        for number in range(_TIMES):
            length = _HEADER.size + len(head)
            kernel.send(_HEADER.pack(length, kind, NLM_F_REQUEST | NLM_F_DUMP, number, 0) + head)
            found: list[bytes] = []
            if _take(kernel, found):
                return found
    raise OSError(errno.EAGAIN, f"the kernel's table changes all the time: {os.strerror(errno.EAGAIN)}")


def _take(kernel: socket.socket, found: list[bytes]) -> bool:
    """A whole answer; False: it was changed meanwhile, and may be two halves that do not fit."""
    whole = True
    while True:
        data, _, flags, _ = kernel.recvmsg(_LARGEST)
        if flags & socket.MSG_TRUNC:
            raise OSError(errno.EMSGSIZE, "the kernel tells more of one thing than is expected of any")
        at = 0
        while at < len(data):
            length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
            content = data[at + _HEADER.size : at + length]
            whole = whole and not flags & NLM_F_DUMP_INTR
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                (code,) = _ERROR.unpack_from(content) if content else (0,)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return whole
            found.append(content)
            at += _aligned(length)


def attributes(data: bytes, at: int = 0) -> Attributes:
    """Contents by type; of a type that comes several times, the last."""
    return dict(each(data, at))


def each(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """Types and contents."""
    unpack, size, end = _ATTRIBUTE.unpack_from, _ATTRIBUTE.size, len(data)
    while at + size <= end:
        length, kind = unpack(data, at)
        yield kind & _TYPE, data[at + size : at + length]
        at += _aligned(max(length, size))


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


def _aligned(length: int) -> int:
    return (length + 3) & ~3

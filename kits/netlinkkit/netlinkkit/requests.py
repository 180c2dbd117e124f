"""Requests, and the socket by which they are made."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from netlinkkit.attributes import aligned, attributes, text

REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
_REQUEST, _ACK, _CAPPED, _MORE = 0x1, 0x4, 0x100, 0x200
_ERROR = 2  # NLMSG_ERROR
_WORDS = 1  # NLMSGERR_ATTR_MSG
HEADER = struct.Struct("=IHHII")  # nlmsghdr
_STATUS = struct.Struct("=i")
SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK = 10, 11
_SO_SNDBUFFORCE = 32
_ROOM = 1 << 24
"""Octets that a datagram may have: the requests of many thousand cables."""


class Refused(OSError):
    """The kernel said no to a request; ``strerror`` says to which, and why."""


@dataclass(frozen=True)
class Request:
    """One message without its header: its number (RTM_…), how it is meant (NLM_F_…), what it is about, for people."""

    kind: int
    flags: int
    content: bytes
    about: str

    def packed(self, number: int) -> bytes:
        """With its header."""
        length = HEADER.size + len(self.content)
        return HEADER.pack(length, self.kind, self.flags | _REQUEST, number, 0) + self.content


def packed(requests: Sequence[Request]) -> bytes:
    """As one datagram. The kernel answers the last, and each that it refuses."""
    flagged = [*requests[:-1], *(Request(one.kind, one.flags | _ACK, one.content, one.about) for one in requests[-1:])]
    return b"".join(one.packed(number) for number, one in enumerate(flagged, 1))


class Wire:
    """A netlink socket into the network namespace of the thread that opens it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        for option in (_CAP_ACK, _EXT_ACK):  # what is refused is not told back, but why
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        with contextlib.suppress(PermissionError):  # then it has what everybody has: room for some thousand requests
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, requests: Sequence[Request], forgive: Collection[int] = ()) -> None:
        """Returns when the kernel has done all of it, in their order.

        Raises Refused for the first that it refused, but for those whose error (errno) is one of `forgive`. Those
        after it are done all the same.
        """
        if requests:
            self.send(packed(requests), requests, forgive)

    def send(self, datagram: bytes, requests: Sequence[Request], forgive: Collection[int] = ()) -> None:
        """The same, of what is packed already."""
        self._socket.sendto(datagram, (0, 0))
        refused: list[Refused] = []
        done = False
        while not done:
            for number, error, words in _answers(self._socket.recv(1 << 16)):
                if error and error not in forgive:
                    why = f"{os.strerror(error)} ({words})" if words else os.strerror(error)
                    refused.append(Refused(error, f"{requests[number - 1].about}: {why}"))
                done = done or number == len(requests)
        if refused:
            raise refused[0]

    def close(self) -> None:
        """Nothing is asked any more."""
        self._socket.close()


def _answers(said: bytes) -> Iterator[tuple[int, int, str]]:
    """The number of each request that is answered, its error (0: none), and the kernel's own words, if it has any."""
    offset = 0
    while offset < len(said):
        length, kind, flags, number, _ = HEADER.unpack_from(said, offset)
        if kind == _ERROR:
            start = offset + HEADER.size
            (status,) = _STATUS.unpack_from(said, start)
            about = HEADER.size if flags & _CAPPED else aligned(HEADER.unpack_from(said, start + _STATUS.size)[0])
            more = attributes(said[: offset + length], start + _STATUS.size + about) if flags & _MORE else {}
            yield number, -status, text(more.get(_WORDS))
        offset += aligned(length)


def ask(requests: Sequence[Request], forgive: Collection[int] = ()) -> None:
    """`Wire.ask`, in the network namespace of the calling thread."""
    if requests:
        with Wire() as wire:
            wire.ask(requests, forgive)

"""Message framing over a stream: RFC 6242, sections 4.2 (chunks) and 4.3 (end of message). No input, no output."""

from __future__ import annotations

import re

END_OF_MESSAGE = b"]]>]]>"
MAX_CHUNK = 4294967295
DEFAULT_LIMIT = 16 * 1024 * 1024
_HEADER = re.compile(rb"\n#([1-9][0-9]{0,9})\n")
_HEADER_START = re.compile(rb"\n(?:#(?:[1-9][0-9]{0,9}|#)?)?\Z|\Z")
_END = b"\n##\n"


class FramingError(Exception):
    """The peer breaks the framing: the session ends (RFC 6242, section 4.2)."""


class MessageTooBig(FramingError):
    """A message is longer than this side takes."""


class Framer:
    """Turns bytes into messages; starts with end-of-message framing, which <hello> has."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.chunked = False
        self._buffer = bytearray()
        self._scanned = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole message, or None until more bytes come; FramingError ends it all."""
        return self._next_chunked() if self.chunked else self._next_delimited()

    def _next_delimited(self) -> bytes | None:
        found = self._buffer.find(END_OF_MESSAGE, self._scanned)
        if found < 0:
            if len(self._buffer) > self.limit:
                raise MessageTooBig(f"a message is longer than {self.limit} bytes")
            self._scanned = max(0, len(self._buffer) - len(END_OF_MESSAGE) + 1)
            return None
        if found > self.limit:
            raise MessageTooBig(f"a message is longer than {self.limit} bytes")
        message = bytes(self._buffer[:found])
        del self._buffer[: found + len(END_OF_MESSAGE)]
        self._scanned = 0
        return message

    def _next_chunked(self) -> bytes | None:
        while True:
            if self._missing:
                if not self._buffer:
                    return None
                piece = bytes(self._buffer[: self._missing])
                del self._buffer[: len(piece)]
                self._missing -= len(piece)
                self._chunks.append(piece)
                if self._missing:
                    return None
            if self._chunks and self._buffer.startswith(_END):
                del self._buffer[: len(_END)]
                message = b"".join(self._chunks)
                self._chunks, self._size = [], 0
                return message
            match = _HEADER.match(self._buffer)
            if match is None:
                # Anything that cannot become a header is an error now, not after more bytes.
                if len(self._buffer) > 12 or not _HEADER_START.match(self._buffer):
                    raise FramingError(f"bad chunk header {bytes(self._buffer[:12])!r}")
                if self._buffer == b"\n##" and not self._chunks:
                    raise FramingError("a message without chunks")
                return None
            self._begin(int(match[1]))
            del self._buffer[: match.end()]

    def _begin(self, size: int) -> None:
        if size > MAX_CHUNK:
            raise FramingError(f"a chunk of {size} bytes is larger than {MAX_CHUNK}")
        self._size += size
        if self._size > self.limit:
            raise MessageTooBig(f"a message is longer than {self.limit} bytes")
        self._missing = size

    def frame(self, message: bytes) -> bytes:
        """A message as it goes to the wire."""
        if self.chunked:
            return b"\n#%d\n%b\n##\n" % (len(message), message)
        return message + END_OF_MESSAGE

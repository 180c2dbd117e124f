"""Less memory for each TLS connection of this process.

asyncio gives every one a buffer of 256 KiB for what it reads, filled with zeros when it is made: for a thousand a
quarter of a gigabyte, and most of the time that connecting takes beside the cryptography. Two records of TLS (RFC 8446,
section 5.1: 16 KiB) are as good for messages as small as ours.
"""

from __future__ import annotations

from asyncio import sslproto

SIZE = 32 * 1024


def lessen() -> None:
    """From now on, for all connections to come."""
    sslproto.SSLProtocol.max_size = SIZE

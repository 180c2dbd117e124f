"""What the kernel tells in files below /proc/sys: read by system calls alone, which takes a fifth of the time of a file
object.
"""

from __future__ import annotations

import os

_LONGEST = 4096


def read(path: str) -> str:
    """The value; ``OSError`` when there is none."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, _LONGEST).decode().strip()
    finally:
        os.close(handle)

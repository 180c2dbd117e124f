"""The disk of a lab, which all its nodes share: made full by a file that holds nothing and takes all."""

from __future__ import annotations

import errno
import os

from harness.agent.places import DISK

BALLAST = DISK / ".full"
_MIB = 2**20
_BLOCK = 4096


def fill(left: float) -> None:
    """Leave so many MiB. Blocks are allotted and not written, so it takes no time and nothing of the user's machine."""
    with BALLAST.open("wb") as file:
        free = os.statvfs(DISK).f_bavail * os.statvfs(DISK).f_frsize - round(left * _MIB)
        size, step = 0, free // _BLOCK * _BLOCK
        while step >= _BLOCK:
            # The file's own description takes blocks too: what does not fit whole is tried in halves.
            try:
                os.posix_fallocate(file.fileno(), size, step)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step = step // 2 // _BLOCK * _BLOCK
            else:
                size += step
                if left:
                    return


def empty() -> None:
    BALLAST.unlink(missing_ok=True)

"""The disk of a lab, which all its nodes share: made full by a file that holds nothing and takes all."""

from __future__ import annotations

import errno
import os

from harness.agent.places import DISK

BALLAST = DISK / ".full"
_MIB = 2**20


def fill(left: float) -> None:
    """Leave so many MiB. Blocks are allotted and not written, so it takes no time and nothing of the user's machine."""
    with BALLAST.open("wb") as file:
        state = os.statvfs(DISK)
        wanted = state.f_bavail * state.f_frsize - round(left * _MIB)
        try:
            os.posix_fallocate(file.fileno(), 0, max(wanted, 1))
        except OSError as error:
            # The description of the file takes blocks too; ext4 leaves it those that it got before there were no more.
            if error.errno != errno.ENOSPC:
                raise


def empty() -> None:
    BALLAST.unlink(missing_ok=True)

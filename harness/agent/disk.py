"""A disk made full, by a file that holds nothing and takes all: a node's own, or the one that the others share."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from harness.agent import volumes
from harness.agent.places import DISK, own_disk

_MIB = 2**20


def fill(fault: str, node: str | None, left: float) -> None:
    """Leave so many MiB. Blocks are allotted and not written, so it takes no time and nothing of the user's machine."""
    place = DISK if node is None else own_disk(node)
    with _ballast(place, fault).open("wb") as file:
        state = os.statvfs(place)
        wanted = state.f_bavail * state.f_frsize - round(left * _MIB)
        try:
            os.posix_fallocate(file.fileno(), 0, max(wanted, 1))
        except OSError as error:
            # The description of the file takes blocks too; ext4 leaves it those that it got before there were no more.
            if error.errno != errno.ENOSPC:
                raise


def empty(fault: str, node: str | None) -> None:
    with contextlib.nullcontext(DISK) if node is None else volumes.opened(node) as place:
        _ballast(place, fault).unlink(missing_ok=True)


def _ballast(place: Path, fault: str) -> Path:
    return place / f"{volumes.BALLAST}{fault}"

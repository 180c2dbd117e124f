"""A disk made full, by a file that holds nothing and takes all: a node's own, or the one that the others share."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from harness.agent import volumes
from harness.agent.places import DISK, own_disk
from harness.agent.shell import run

_MIB = 2**20
_TRIES = 3


def fill(fault: str, node: str | None, left: float) -> None:
    """Leave so many MiB. Blocks are allotted and not written, so it takes no time and nothing of the user's machine."""
    place = DISK if node is None else own_disk(node)
    with _ballast(place, fault).open("wb") as file:
        for _ in range(_TRIES):
            # What was deleted a moment ago counts as free, and cannot be had before it is on record.
            run("sync", "--file-system", str(place))
            state = os.statvfs(place)
            wanted = state.f_bavail * state.f_frsize - round(left * _MIB)
            if wanted <= 0:
                break
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, wanted)
            except OSError as error:
                # The description of the file takes blocks too; ext4 leaves it those that it got before all were gone.
                if error.errno != errno.ENOSPC:
                    raise


def empty(fault: str, node: str | None) -> None:
    with contextlib.nullcontext(DISK) if node is None else volumes.opened(node) as place:
        _ballast(place, fault).unlink(missing_ok=True)


def _ballast(place: Path, fault: str) -> Path:
    return place / f"{volumes.BALLAST}{fault}"

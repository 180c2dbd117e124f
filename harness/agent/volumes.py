"""A disk of a node's own: what it writes has so much room, and no more.

It is a file system in a file on the lab's disk. All its blocks are allotted when it is made, so that a node has what
its topology promised whatever others write, and it stays when the power goes, as the disks of all nodes do. A quota on
the lab's disk would bound nothing: overlayfs writes with the rights of the lab host, whom quotas do not hold.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.agent.exclusive import making
from harness.agent.places import DISK, FAULTS, own_disk
from harness.agent.shell import ToolError, run
from harness.wait import wait_for

_MIB = 2**20
_SECONDS = 10
_CHANGE_SECONDS = 30
ROOT = "own-disk"
"""What the root that is laid over such a disk is called where mounts are listed."""
BALLAST = ".full-"
"""What the file begins with that makes a disk full (`harness.agent.disk`); the rest is the name of the fault."""


def give(node: dict[str, Any]) -> Path:
    """Mount the disk of a node that has one, and say where; the first time it is made."""
    file, place = _file(node["name"]), own_disk(node["name"])
    if not file.exists():
        _make(file, node["disk"])
    place.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(place):
        _mount(file, place)
    return place


def _mount(file: Path, place: Path) -> None:
    run("mount", "-t", "ext4", "-o", "loop,noatime", str(file), str(place))
    for ballast in place.glob(f"{BALLAST}*"):  # of a lab host that is no more, if no fault of this one is called so
        if not (FAULTS / f"{ballast.name.removeprefix(BALLAST)}.json").exists():
            ballast.unlink()


@contextlib.contextmanager
def opened(node: str) -> Iterator[Path]:
    """What is on the disk of a node, whether it has power or not."""
    with making():  # its power stays as it is
        if os.path.ismount(own_disk(node)):
            yield own_disk(node)
            return
        with tempfile.TemporaryDirectory(dir="/run/elasticlab") as place:
            _mount(_file(node), Path(place))
            try:
                yield Path(place)
            finally:
                _unmount(_file(node), Path(place))


def take(node: str) -> None:
    """Unmount it. Returns when nobody holds it any more: the mounts of a node that was killed end a moment after its
    processes.
    """
    if os.path.ismount(own_disk(node)):
        _unmount(_file(node), own_disk(node))


def _unmount(file: Path, place: Path) -> None:
    run("umount", str(place))
    # By the file itself: another lab on this kernel has files of the same name.
    wait_for(f"{file} to be let go", lambda: not run("losetup", "--associated", str(file)), _SECONDS, interval=0.01)


def wait_until_root(node: str, pid: int) -> None:
    """Until a container has changed to a root on its disk (see `harness.engine.start`): what enters it before then may
    find itself without /proc.
    """

    def changed() -> bool:
        mounts = (line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
        return any(mount[4] == "/" and mount[mount.index("-") + 2] == ROOT for mount in mounts)

    wait_for(f"node {node} to have its root on its disk", changed, _CHANGE_SECONDS, interval=0.02, retry_on=(OSError,))


def _file(node: str) -> Path:
    return DISK / node / "disk.img"


def _make(file: Path, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("wb") as disk:
        try:
            os.posix_fallocate(disk.fileno(), 0, size)
        except OSError as error:
            fresh.unlink()
            if error.errno != errno.ENOSPC:
                raise
            raise ToolError(
                f"the lab's disk has no room for {size // _MIB} MiB of node {file.parent.name}: give its nodes less "
                "(elasticlab.disk, elasticlab.tier)"
            ) from None
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E", options, str(fresh))
    fresh.rename(file)

"""The keeper: the process that is a lab host, started so that its death removes all of it.

It runs in mount and PID namespaces of its own (and, on this machine's kernel, network, IPC and UTS namespaces), over a
root file system that is put together by `keeper.sh` and exists nowhere else. `--kill-child` ties all processes to
the outermost one; mounts, links and namespaces go with the last process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.host.base import LabPlace
from harness.wait import wait_for

SCRIPT = Path(__file__).with_name("keeper.sh")
_MARK = "elasticlab-keeper"


def spawn(place: LabPlace, namespaces: list[str], env: dict[str, str], keep: list[int]) -> subprocess.Popen[bytes]:
    """Start a keeper for `place`, detached from this process and its terminal.

    `keep` are the open files that it inherits (what holds its slot, a TAP); `env` is what `keeper.sh` reads.
    """
    flags = ["--mount", "--propagation=unchanged", "--pid", "--fork", "--kill-child", *namespaces]
    with place.log.open("ab") as log:
        # The mark and the folder are arguments so that the keeper can be found again without any record of it.
        return subprocess.Popen(
            ["unshare", *flags, "--", "/bin/sh", str(SCRIPT), _MARK, str(place.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=keep,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env},
        )


def _marked(folder: Path) -> Iterator[int]:
    wanted = [_MARK.encode(), os.fsencode(folder)]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if arguments[-3:-1] == wanted:
                yield int(entry.name)


def find(folder: Path) -> int | None:
    """Process id of the keeper's outermost process (`unshare`), if it lives."""
    return next((pid for pid in sorted(_marked(folder)) if _name(pid) == "unshare"), None)


def inside(folder: Path) -> int | None:
    """Process id, as seen from here, of the first process in the keeper's namespaces."""
    outer = find(folder)
    if outer is None:
        return None
    try:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return None
    return int(children[0]) if children else None


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def kill(folder: Path) -> None:
    """End the keeper and with it everything of its lab; returns when its last process is gone."""
    first = inside(folder)
    killed = [*_marked(folder), *([first] if first else [])]
    for pid in killed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue

    def over() -> bool:
        # A process that ends loses its arguments, and so its mark, before its mounts.
        return not any(_marked(folder)) and not any(map(_alive, killed))

    wait_for(f"the end of the keeper of {folder}", over, 10)


def _alive(pid: int) -> bool:
    """A zombie holds nothing any more; its parent may take its time to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

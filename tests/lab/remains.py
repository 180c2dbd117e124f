"""What of a lab can be found on this machine by someone who knows nothing of the harness."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.host.slot import SLOTS, Slot, abandoned
from harness.paths import labs_dir


def _processes(file: str) -> Iterator[str]:
    """A file of each process, as text."""
    for entry in Path("/proc").glob(f"[0-9]*/{file}"):
        try:
            yield entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue


def traces(name: str) -> list[str]:
    """Files, mounts, processes that name it or live in its namespaces, sockets, loop devices."""
    folder = str(labs_dir() / name)
    found = [str(path) for path in labs_dir().glob(f"*{name}*")]
    found += [line for line in _processes("cmdline") if folder in line]
    found += [line for text in _processes("mountinfo") for line in text.splitlines() if folder in line]
    found += [line for line in Path("/proc/net/unix").read_text().splitlines() if folder in line]
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    return found + [line for line in loops.splitlines() if folder in line]


def abandoned_interfaces() -> list[str]:
    """Interfaces of labs whose keepers are dead, whosever they were."""
    return [slot.device for slot in map(Slot, range(SLOTS)) if abandoned(slot)]

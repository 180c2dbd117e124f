"""Runs in a box, of which it knows nothing but /proc and a log: what a program that runs there has cost so far.

`python3 - PROGRAM MARK…` with this on standard input: seconds from the start of the only process `python -m PROGRAM`
until its log has said each mark, seconds of a processor and MiB of memory (PSS) until now, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _START = 11, 12, 19  # fields of /proc/PID/stat behind the name (proc_pid_stat(5))


def process(program: str) -> Path:
    """Its folder. Raises LookupError: there is not just one."""
    found = [one for one in _PROC.glob("[0-9]*") if _argv(one)[1:3] == ["-m", program]]
    if len(found) != 1:
        raise LookupError(f"one process should be python -m {program}, not {[one.name for one in found]}")
    return found[0]


def _argv(place: Path) -> list[str]:
    try:
        return (place / "cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


def _stat(place: Path) -> list[str]:
    return (place / "stat").read_text().rpartition(")")[2].split()


def began(place: Path) -> float:
    """Seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(_stat(place)[_START]) / _TICK


def processor(place: Path) -> float:
    fields = _stat(place)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICK


def memory(place: Path) -> float:
    words = (place / "smaps_rollup").read_text().split()
    return int(words[words.index("Pss:") + 1]) / 1024


def said(lines: Iterable[str], marks: Sequence[str], since: float) -> list[float]:
    """Seconds until each was said for the first time, by the program's own clock: who writes the log may be late.

    Raises LookupError: one was not.
    """
    found: dict[str, float] = {}
    for line in lines:
        if (at := _stamp(line)) is None:
            continue
        for mark in marks:
            if mark in line and at >= since:
                found.setdefault(mark, at - since)
    if missing := [mark for mark in marks if mark not in found]:
        raise LookupError(f"the log does not say {missing}; do perf.agents and the program agree on what it says?")
    return [found[mark] for mark in marks]


def _stamp(line: str) -> float | None:
    """That of `logging`, in the time of the place, behind that of `svlogd -tt`; not every line has one."""
    words = line.split(maxsplit=3)[1:]
    try:
        return datetime.strptime(" ".join(words[:2]), "%Y-%m-%d %H:%M:%S,%f").timestamp()
    except ValueError:
        return None


def main() -> None:
    program, *marks = sys.argv[1:]
    place = process(program)
    log = Path(f"/var/log/{program}/current").read_text(errors="replace").splitlines()
    told = {
        "seconds": said(log, marks, began(place)),
        "processor": processor(place),
        "memory": memory(place),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()

"""Wall clocks that are wrong: the whole lab's, where it has a kernel of its own, or one node's.

Linux has one wall clock a kernel (time_namespaces(7) know only the clocks that count from the boot). A node is given
another by libfaketime, which is put before every program that it starts: so it starts anew, as a box does whose clock
was lost while it had no power. From then on the clock can be moved while programs run.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from harness.agent.places import CLOCKS

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
SEEN = "/run/elasticlab-clock"
# Without the last one libfaketime lets Python's threads spin for the interpreter's lock: three of them switched sixty
# times as often and did a fifth to a third of the work.
ENVIRONMENT = {
    "LD_PRELOAD": f"{SEEN}/libfaketime.so",
    "FAKETIME_TIMESTAMP_FILE": f"{SEEN}/offset",
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",
    "FAKETIME_FORCE_MONOTONIC_FIX": "0",
}


def truth() -> float:
    """How far the wall clock is from one that nothing sets. Raises LookupError where it is not the lab's own."""
    if "User Mode Linux" not in Path("/proc/cpuinfo").read_text():
        raise LookupError(
            "this lab host's clock is the machine's, and not a lab's to set; "
            "bring the lab up with `--host lab-kernel`, or name a node"
        )
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC_RAW)


def set_lab(right: float, offset: float) -> None:
    """The lab's clock is off by so many seconds; `right` is what `truth` said when it was right."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_MONOTONIC_RAW) + right + offset)


def dress(node: str, offset: float) -> None:
    """The node will have a clock of its own when it gets power."""
    folder = CLOCKS / node
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_LIBRARY, folder / "libfaketime.so")
    show(node, offset)


def show(node: str, offset: float) -> None:
    """Such a clock is off by so many seconds; its programs see it within a second."""
    fresh = CLOCKS / node / "offset.new"
    fresh.write_text(f"{offset:+.3f}\n")
    os.rename(fresh, CLOCKS / node / "offset")


def undress(node: str) -> None:
    shutil.rmtree(CLOCKS / node, ignore_errors=True)


def dressed(node: dict[str, Any]) -> dict[str, Any]:
    """A node as it is to be started: with its own clock if it has one."""
    folder = CLOCKS / node["name"]
    if not folder.exists():
        return node
    bind = {"source": str(folder), "target": SEEN, "read_only": True}
    return {**node, "env": {**node["env"], **ENVIRONMENT}, "binds": [*node["binds"], bind]}

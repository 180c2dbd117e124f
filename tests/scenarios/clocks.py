"""Clocks of single boxes that are wrong. A lab has one kernel and so one clock; a box is given another by libfaketime.

The endpoint image has the library; it is copied into the box and put before the element and charon. Whether the box may
set this clock is up to the test: without its own program the kernel refuses, as it does to every node of a lab.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.lab import Lab

SERVICES = ("charon", "element")
_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
_PLACE = "/root/clock"
_SOURCE = f". {_PLACE}/environment"
# Without the last one libfaketime lets Python's threads spin for the interpreter's lock: three of them switched sixty
# times as often and did a fifth to a third of the work.
_ENVIRONMENT = f"""export LD_PRELOAD={_PLACE}/libfaketime.so FAKETIME_TIMESTAMP_FILE={_PLACE}/offset
export FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
export FAKETIME_FORCE_MONOTONIC_FIX=0
"""
_SET = f"""#!/bin/sh -eu
unset LD_PRELOAD
printf '%+d\\n' $(($1 - $(date +%s))) >{_PLACE}/offset.new
mv {_PLACE}/offset.new {_PLACE}/offset
"""
DAY = 86_400


@dataclass(frozen=True)
class BoxClock:
    """The clock of one box."""

    lab: Lab
    box: str

    def show(self, offset: int) -> None:
        """From now on it is off by so many seconds."""
        self.lab[self.box].sh(f"printf '%+d\\n' {offset} >{_PLACE}/new && mv {_PLACE}/new {_PLACE}/offset")

    @property
    def offset(self) -> int:
        return int(self.lab[self.box].exec("cat", f"{_PLACE}/offset"))

    def restart(self) -> None:
        """As after a power cut: nothing is remembered but what is on disk."""
        self.lab[self.box].sh("sv -w 30 restart charon element", timeout=60)


@contextmanager
def clock_of(lab: Lab, box: str, offset: int, *, settable: bool = False) -> Iterator[BoxClock]:
    """Within the block a box has a clock of its own, with which it has been restarted."""
    node = lab[box]
    library = lab["internet"].exec("base64", "-w0", _LIBRARY)
    node.sh(f"mkdir -p {_PLACE}")
    node.run("sh", "-ec", f"base64 -d >{_PLACE}/libfaketime.so", stdin=library).check()
    environment = _ENVIRONMENT + (f"export ELEMENT_SET_CLOCK={_PLACE}/set\n" if settable else "")
    node.run("tee", f"{_PLACE}/environment", stdin=environment).check()
    node.run("tee", f"{_PLACE}/set", stdin=_SET).check()
    made = BoxClock(lab, box)
    made.show(offset)
    runs = " ".join(f"/etc/sv/{name}/run" for name in SERVICES)
    node.sh(f"chmod +x {_PLACE}/set; sed -i '/^exec 2>&1/a {_SOURCE}' {runs}")
    try:
        made.restart()
        yield made
    finally:
        node.sh(f"sed -i '\\#^{_SOURCE}#d' {runs}; rm -rf {_PLACE}")
        made.restart()

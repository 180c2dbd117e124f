"""What a box sends and receives on an interface of its own: inside the tunnels, where no cable can be listened to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.lab import Lab
from harness.wait import Deadline
from tests.scenarios.background import until_ended

# Frames in VXLAN, by octets of the outer UDP: 8 of its header, 8 of VXLAN's, then 12 before the inner type (RFC 7348).
IPV4, TAGGED, ARP = "udp[28:2] = 0x0800", "udp[28:2] = 0x8100", "udp[28:2] = 0x0806"
ECHOES = f"{IPV4} and udp[39] = 1"
ARP_REQUESTS, ARP_REPLIES = f"{ARP} and udp[36:2] = 1", f"{ARP} and udp[36:2] = 2"

# Each in one go, and by the shell alone: to enter a box, and to start a program there, takes longer than what is done.
_LISTEN = """
: >{file}.said
setsid tcpdump -i {interface} -n -p -U --immediate-mode -s 4000 -B 16384 -w {file} </dev/null >/dev/null 2>{file}.said &
echo $! >{file}.pid
while :; do
    while read -r said; do case $said in *"listening on"*) exit 0 ;; esac; done <{file}.said
    read -r _ _ state _ </proc/$!/stat && [ "$state" != Z ] || {{ cat {file}.said >&2; exit 1; }}
    sleep 0.01
done
"""
# What the kernel keeps for a tcpdump is lost with it (see harness/agent/capture.py): it ends when it sleeps.
_END = f"""
read -r pid <{{file}}.pid
while read -r _ _ state _ </proc/$pid/stat && [ "$state" != S ]; do sleep 0.01; done
kill -INT $pid || exit 0
{until_ended("$pid")}
"""
_SECONDS = 20
_START = re.compile(r"^(?=\d+\.\d{6} )", re.MULTILINE)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Hop:
    """A capture of an interface of a node; complete once its `with` block has ended."""

    lab: Lab
    node: str
    interface: str
    file: str

    def frames(self, expression: str = "") -> list[str]:
        """One line (`tcpdump -n -e`) for each frame that matches pcap-filter(7)."""
        read = ["tcpdump", "-n", "-e", "-tt", "-r", self.file, *([expression] if expression else [])]
        # Frames inside of frames are on lines of their own, without a time.
        return [" / ".join(frame.splitlines()) for frame in _START.split(self.lab[self.node].exec(*read)) if frame]

    def count(self, expression: str = "") -> int:
        return len(self.frames(expression))

    def inner(self, vni: int, expression: str) -> int:
        """How many frames in VXLAN with this VNI match (see the constants above)."""
        of_vni = f"udp dst port 4789 and (udp[12:4] >> 8) = {vni}"
        return self.count(f"{of_vni} and {expression}" if expression else of_vni)


@contextmanager
def overheard(lab: Lab, node: str, interface: str) -> Iterator[Hop]:
    """Listen on an interface of a node for the length of a `with` block."""
    box, file, seconds = lab[node], f"/run/hop-{next(_numbers)}.pcap", Deadline(_SECONDS).limit
    box.sh(_LISTEN.format(interface=interface, file=file), seconds)
    try:
        yield Hop(lab, node, interface, file)
    finally:
        box.sh(_END.format(file=file), seconds)

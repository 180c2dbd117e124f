"""What a box sends and receives on an interface of its own: inside the tunnels, where no cable can be listened to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.lab import Lab
from harness.wait import wait_for

# Frames in VXLAN, by octets of the outer UDP: 8 of its header, 8 of VXLAN's, then 12 before the inner type (RFC 7348).
IPV4, TAGGED, ARP = "udp[28:2] = 0x0800", "udp[28:2] = 0x8100", "udp[28:2] = 0x0806"
ECHOES = f"{IPV4} and udp[39] = 1"
ARP_REQUESTS, ARP_REPLIES = f"{ARP} and udp[36:2] = 1", f"{ARP} and udp[36:2] = 2"

_SLEEPS = "pid=$(cat {}.pid); ! [ -e /proc/$pid ] || grep -q '^State:.S' /proc/$pid/status"
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
    box, file = lab[node], f"/run/hop-{next(_numbers)}.pcap"
    box.sh(
        f"setsid tcpdump -i {interface} -n -p -U --immediate-mode -s 4000 -B 16384 -w {file}"
        f" </dev/null >/dev/null 2>{file}.said & echo $! >{file}.pid"
    )
    try:
        wait_for(f"tcpdump on {node}:{interface}", lambda: box.run("grep", "-q", "listening on", f"{file}.said").ok, 10)
        yield Hop(lab, node, interface, file)
    finally:
        # What the kernel keeps for a tcpdump is lost with it (see harness/agent/capture.py): it ends when it sleeps.
        wait_for(f"tcpdump on {node} to have read all", lambda: box.run("sh", "-c", _SLEEPS.format(file)).ok, 10)
        box.sh(f"kill -INT $(cat {file}.pid) 2>/dev/null || true")
        wait_for(f"the end of tcpdump on {node}", lambda: not box.run("sh", "-c", f"kill -0 $(cat {file}.pid)").ok, 10)

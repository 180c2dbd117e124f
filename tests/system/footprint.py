"""What nodes have used of their hardware, and how that is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.lab import Node

MIB = 2**20
_USED = """
cd /sys/fs/cgroup
awk '$1 == "usage_usec" {print $2}' cpu.stat
cat memory.current memory.peak
awk '$1 == "anon" {print $2}' memory.stat
awk '$1 == "oom_kill" {print $2}' memory.events
df -B1 --output=used / | tail -n 1
"""


@dataclass(frozen=True)
class Footprint:
    """What a node has used since it got power: seconds of a processor; octets of memory, now and at most (files that it
    has read are a part of both) and what of it now belongs to processes alone; how many of them were killed for
    memory; octets of its disk.
    """

    node: str
    cpu: float
    memory: int
    peak: int
    own: int
    killed: int
    disk: int


def footprint(node: Node) -> Footprint:
    cpu, memory, peak, own, killed, disk = map(int, node.sh(_USED).split())
    return Footprint(node.name, cpu / 1e6, memory, peak, own, killed, disk)


def table(rows: Iterable[tuple[str, float, Iterable[Footprint]]]) -> str:
    """Lines of a tier, the seconds from power on to service, and what each node has used by then."""
    sizes = "".join(f"{name:>11}" for name in ("memory", "at most", "processes", "disk"))
    lines = [f"{'tier':<14}{'in service':>10}  {'node':<14}{'CPU':>8}{sizes}"]
    for tier, seconds, used in rows:
        for number, one in enumerate(used):
            first = f"{tier:<14}{seconds:>8.1f} s" if number == 0 else " " * 24
            sizes = "".join(f"{size / MIB:>7.1f} MiB" for size in (one.memory, one.peak, one.own, one.disk))
            lines.append(f"{first}  {one.node:<14}{one.cpu:>6.2f} s{sizes}")
    return "\n".join(lines)

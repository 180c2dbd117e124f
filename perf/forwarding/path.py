"""Where frames go: from a host's cable through a site and a POP to the Internet's cable, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.lab import Node
from perf.forwarding import frames

FLOWS = 10
"""At most, of one path: each has a port for what is counted, and one for what is timed."""
COUNTED = range(40000, 40000 + FLOWS)
TIMED = range(40000 + FLOWS, 40000 + 2 * FLOWS)
WAYS = ("up", "down")


class PathError(RuntimeError):
    """Frames cannot be sent or counted; where, and why."""


@dataclass(frozen=True)
class Flow:
    """One tunnel's traffic, between an address in a site and one in the Internet."""

    site: str
    server: str
    gateway: str
    """Whom the site's host sends its frames to."""
    vlan: int = 0


@dataclass(frozen=True)
class End:
    """Where frames are sent and counted, and who they are sent to from there: `node:interface` and MACs."""

    node: Node
    interface: str
    own: str
    next: tuple[str, ...]
    """Of each flow."""


@dataclass
class Path:
    """A way through the lab that several flows take side by side."""

    name: str
    host: End
    server: End
    flows: tuple[Flow, ...]
    first: int = 0
    """Number of the first flow among all that may pass the same cable at once."""
    seen: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Who the Internet sees behind each port, which is who is answered there."""

    @property
    def counted(self) -> range:
        """Ports of the flows."""
        return COUNTED[self.first : self.first + len(self.flows)]

    @property
    def timed(self) -> range:
        return TIMED[self.first : self.first + len(self.flows)]

    def ends(self, way: str) -> tuple[End, End]:
        """Who sends and who receives."""
        return (self.host, self.server) if way == "up" else (self.server, self.host)

    def frames(self, way: str, sizes: Sequence[int], ports: range) -> list[bytes]:
        """A pattern: each flow in turn with the first size, then with the second, and so on."""
        return [self._frame(way, size, number, ports[number]) for size in sizes for number in range(len(self.flows))]

    def _frame(self, way: str, size: int, number: int, port: int) -> bytes:
        flow, (end, _) = self.flows[number], self.ends(way)
        macs = (end.own, end.next[number])
        if way == "up":
            return frames.udp(size, macs, (flow.site, port), (flow.server, port), flow.vlan)
        if port not in self.seen:
            raise PathError(f"{self.name}: nothing of flow {number + 1} has come to {self.server.interface} yet")
        return frames.udp(size, macs, (flow.server, port), self.seen[port])


def mac_of(node: Node, interface: str) -> str:
    found = json.loads(node.exec("ip", "-j", "link", "show", "dev", interface))
    return str(found[0]["address"])


def neighbour(node: Node, address: str) -> str:
    """Whose MAC it is, asked for by an echo request if nobody knows it yet. Raises PathError."""
    node.must_reach(address)
    found = re.search(r"lladdr ([0-9a-f:]{17})", node.exec("ip", "neigh", "show", "to", address))
    if not found:
        raise PathError(f"{node.name} does not know who {address} is")
    return found[1]

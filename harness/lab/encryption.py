"""The encrypted overlay as one assertion: associations carry traffic, and nothing else than allowed is on the wire."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.lab.capture import Capture
    from harness.lab.lab import Lab

# What a WAN may show beside ESP: key exchange, ESP in UDP (RFC 3948), and what gives a link its address and keeps it
# alive. ICMP without its payload-bearing echoes, so that a tenant's ping in clear is found.
ALLOWED = (
    "esp",
    "udp port 500",
    "udp port 4500",
    "arp",
    "(udp and (port 67 or port 68))",
    "(icmp6 and ip6[40] >= 133 and ip6[40] <= 137)",
    # MLD, which has a router alert before it.
    "(ip6[6] == 0 and ip6[40] == 58 and (ip6[48] >= 130 and ip6[48] <= 132 or ip6[48] == 143))",
    "(icmp and icmp[icmptype] == icmp-unreach)",
)
_BOOTSTRAP, _CALL_HOME = 8572, 4335
_CARRIES = "esp or udp port 4500"
_PACKETS = re.compile(r"lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)")


class Unencrypted(AssertionError):
    """Something was on the wire that must not be, or nothing was protected."""


def from_operator(lab: Lab) -> list[str]:
    """What boxes and their orchestrator say to each other, in TLS: bootstrap (RFC 8572) and call home (RFC 8071)."""
    stacks = [
        way.address.ip
        for node in lab.topology.nodes.values()
        for way in (node.wan.ipv4, node.wan.ipv6)
        if node.role == "stack" and way
    ]
    return [f"(host {address} and tcp and (port {_BOOTSTRAP} or port {_CALL_HOME}))" for address in stacks]


def packets_protected(lab: Lab, node: str) -> int:
    """Packets that all IPsec associations of a node carried in both directions since they were made."""
    said = lab[node].exec("ip", "-s", "xfrm", "state", "list", "nokeys")
    return sum(int(packets) for _, packets in _PACKETS.findall(said))


def judge(capture: Capture, *, allowed: Sequence[str] = ALLOWED, secrets: Sequence[bytes] = ()) -> None:
    """Raise Unencrypted unless a capture holds protected traffic and nothing outside the allow-list."""
    strangers = capture.frames(f"not ({' or '.join(allowed)})")
    if strangers:
        shown = "\n  ".join(strangers[:10])
        raise Unencrypted(f"{len(strangers)} frames on {capture.end} are outside the allow-list:\n  {shown}")
    for secret in secrets:
        if capture.contains(secret):
            raise Unencrypted(f"{secret!r} is readable on {capture.end} (see {capture.file})")
    if not capture.frames(_CARRIES):
        raise Unencrypted(f"no ESP at all on {capture.end}: nothing was protected")


@contextlib.contextmanager
def assert_encrypted(lab: Lab, end: str, *, secrets: Sequence[bytes] = ()) -> Iterator[Capture]:
    """Capture at `end` (a node's interface) while the block makes traffic, then judge it and the node's counters."""
    node = end.partition(":")[0]
    before = packets_protected(lab, node)
    with lab.capture(end) as capture:
        yield capture
    judge(capture, allowed=[*ALLOWED, *from_operator(lab)], secrets=secrets)
    if packets_protected(lab, node) <= before:
        raise Unencrypted(f"the IPsec counters of {node} did not move")

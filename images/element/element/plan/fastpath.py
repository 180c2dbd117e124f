"""The fast path: connections that the filter has let pass are forwarded before it, by a flow table.

What nft(8) calls a flowtable looks a packet up where it comes in, by its interface, addresses and ports: one look-up
instead of the way through VRF, conntrack and filter. It takes TCP and UDP, nothing with options, no fragments, and
nothing whose route has changed since. A connection gets in when the filter lets one of its packets pass by a rule that
says so, and new rules begin with an empty table: so whatever they refuse is refused. It must be one that both ends
have taken up, UDP for 2 s (conntrack's ASSURED), or that goes on unanswered: a question and its answer are not worth an
entry.

By an IPsec interface of a tenant's own comes only what an SA of its flow has decrypted, and the policy (RFC 4301,
section 5.2) is asked before a connection gets in: one that the table knows has addresses and ports which that lets
pass. Flows are part of the rules, so when they change, the table is empty again.

Bridges are left out: Linux follows a bridge to the port behind it, and would send by that past whatever learns that a
station has moved (`br_fill_forward_path`, `FLOW_OFFLOAD_XMIT_DIRECT`).
"""

from __future__ import annotations

from element.model import Interface, Kind

NAME = "fastpath"
HOOK = "hook ingress priority filter"
PASSED = "passed"
"""The chain that ends the way of a packet whose connection may take the fast path."""


def is_fast(interface: Interface) -> bool:
    """Can the fast path begin and end there?"""
    return interface.kind is not Kind.BRIDGE


def verdict(interface: Interface) -> str:
    """What the filter says of what it lets pass between this interface and one where the fast path can be."""
    return f"goto {PASSED}" if is_fast(interface) else "accept"


def declaration() -> str:
    """The table, without devices: they are not there yet when the filter is (`element.plan.resources.FlowTable`)."""
    return f"  flowtable {NAME} {{ {HOOK}; }}"


_WORTH_IT = ("ct status & assured == assured", "ct status & (confirmed | seen-reply) == confirmed")


def passed() -> list[str]:
    """The rules of `PASSED`. What the table does not take (ICMP, a connection's first packet) breaks them off."""
    return [*_offers(), "accept"]


def _offers() -> list[str]:
    return [f"{which} flow add @{NAME}" for which in _WORTH_IT]


def without(text: str) -> str:
    """The ruleset for a kernel that has no flow tables."""
    dropped = {declaration().strip(), *_offers()}
    return "\n".join(line for line in text.splitlines() if line.strip() not in dropped)

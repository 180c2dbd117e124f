"""The fast path: connections that the filter has let pass are forwarded before it, by a flow table.

What nft(8) calls a flowtable looks a packet up where it comes in, by its interface, addresses and ports: one look-up
instead of the way through VRF, conntrack and filter. It takes TCP and UDP, nothing with options, no fragments, and
nothing whose route has changed since. A connection gets in when the filter lets one of its packets pass by a rule that
says so, and new rules begin with an empty table: so whatever they refuse is refused. It must be one that both ends
have taken up, UDP for 2 s (conntrack's ASSURED), or that goes on unanswered: a question and its answer are not worth an
entry.

IPsec interfaces of a tenant's own are left out: what comes by them is held against a policy (RFC 4301, section 5.2),
which the table would not do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from element.model import Interface, Kind

NAME = "fastpath"
HOOK = "hook ingress priority filter"
PASSED = "passed"
"""The chain that ends the way of a packet whose connection may take the fast path."""


def is_fast(interface: Interface) -> bool:
    """Can the fast path begin and end there?"""
    return interface.kind is not Kind.IPSEC


def by_verdict(interfaces: Iterable[Interface]) -> Iterator[tuple[list[Interface], str]]:
    """Interfaces with the verdict on what passes between one of them and elsewhere."""
    known = list(interfaces)
    if fast := [i for i in known if is_fast(i)]:
        yield fast, f"goto {PASSED}"
    if slow := [i for i in known if not is_fast(i)]:
        yield slow, "accept"


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

"""Traffic selectors as charon tells them (RFC 7296, section 3.13.1): prefixes, ranges, and parts of them that a peer
narrowed to one protocol or port."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


@dataclass(frozen=True, slots=True)
class Selector:
    """Addresses from the first to the last; ``part`` is what of their packets alone, "" for all."""

    version: int
    first: int
    last: int
    part: str = ""

    def within(self, other: Selector) -> bool:
        """Has the other all of this?"""
        same = self.version == other.version and other.part in ("", self.part)
        return same and other.first <= self.first and self.last <= other.last


Selectors = frozenset[Selector]


def read(texts: Collection[str]) -> Selectors | None:
    """``10.0.0.0/24``, ``10.0.0.1..10.0.0.7``, ``10.0.0.0/24[tcp/443]``; None if something else is among them."""
    try:
        return frozenset(map(_one, texts))
    except ValueError:
        return None


def within(some: Selectors, others: Selectors) -> bool:
    """Is each within one of the others?"""
    return all(any(one.within(other) for other in others) for one in some)


def _one(text: str) -> Selector:
    addresses, bracket, part = text.partition("[")
    if bracket and not part.endswith("]"):
        raise ValueError(text)
    first, last = _ends(addresses)
    if first.version != last.version:
        raise ValueError(text)
    return Selector(first.version, int(first), int(last), part[:-1])


def _ends(addresses: str) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    first, dots, last = addresses.partition("..")
    if dots:
        return ip_address(first), ip_address(last)
    network = ip_network(addresses, strict=False)
    return network.network_address, network.broadcast_address

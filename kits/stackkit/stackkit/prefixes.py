"""Prefixes of many owners that overlap, found without comparing each with each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

Network = IPv4Network | IPv6Network
Owner = TypeVar("Owner", bound=Hashable)


def overlapping(
    places: Iterable[tuple[Owner, Network]],
) -> Iterator[tuple[tuple[Owner, Network], tuple[Owner, Network]]]:
    """Pairs of prefixes of different owners; of the two, the owner who is named earlier in `places` comes first.

    Prefixes are nested or apart (RFC 4632, section 3.1): in their order, what is around one is on the stack.
    """
    given = list(places)
    turn = {owner: number for number, (owner, _) in reversed(list(enumerate(given)))}
    around: list[tuple[Owner, Network]] = []
    for place in sorted(given, key=lambda one: (order(one[1]), turn[one[0]])):
        while around and not _within(place[1], around[-1][1]):
            around.pop()
        for other in around:
            if other[0] != place[0]:
                yield (other, place) if turn[other[0]] < turn[place[0]] else (place, other)
        around.append(place)


def order(prefix: Network) -> tuple[int, int, int]:
    """IPv4 first, then by address and length: what to sort by."""
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.network_address in outer

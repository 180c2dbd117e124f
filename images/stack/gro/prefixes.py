"""Prefixes that overlap, found without comparing each with each."""

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from gro.ordered import Network

Owner = TypeVar("Owner", bound=Hashable)


def overlapping(
    places: Iterable[tuple[Owner, Network]],
) -> Iterator[tuple[tuple[Owner, Network], tuple[Owner, Network]]]:
    """Pairs of prefixes of different owners. Prefixes are nested or apart (RFC 4632, section 3.1): in their order, what
    is around one is on the stack."""
    around: list[tuple[Owner, Network]] = []
    for place in sorted(places, key=lambda one: (one[1].version, one[1].network_address.packed, one[1].prefixlen)):
        owner, network = place
        while around and not (around[-1][1].version == network.version and network.network_address in around[-1][1]):
            around.pop()
        for other in around:
            if other[0] != owner:
                yield other, place
        around.append(place)

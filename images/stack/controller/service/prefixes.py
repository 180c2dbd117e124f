"""Prefixes of many owners that overlap, found in one pass over them in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.service.cloud import order
from controller.service.site import Network

Owned = tuple[int, Network]
"""A prefix and the number of its owner among all that are compared."""


def overlaps(having: Iterable[Owned]) -> Iterator[tuple[Owned, Owned]]:
    """Pairs of different owners, in the order of their numbers.

    Prefixes are nested or apart (RFC 4632, section 3.1): in order, those around the next one are the last ones left.
    """
    around: list[Owned] = []
    for owner, prefix in sorted(having, key=lambda one: (order(one[1]), one[0])):
        while around and not _within(prefix, around[-1][1]):
            around.pop()
        for other in around:
            if other[0] != owner:
                first, second = sorted((other, (owner, prefix)), key=lambda one: one[0])
                yield first, second
        around.append((owner, prefix))


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.overlaps(outer)

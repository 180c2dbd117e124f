"""Overlaps among many prefixes: the same pairs as by comparing each with each, and in time."""

from __future__ import annotations

import time
from ipaddress import ip_network
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from stackkit.prefixes import Network, overlapping


def _prefixes(bits: int) -> st.SearchStrategy[Network]:
    """Few first octets, so that many overlap."""
    first, length = st.integers(0, 255), st.integers(0, bits)
    return st.builds(lambda octet, long: ip_network((octet << (bits - 8), long), strict=False), first, length)


@given(st.lists(st.tuples(st.integers(0, 3), _prefixes(32) | _prefixes(128)), max_size=12))
def test_pairs_are_those_that_overlap_the_earlier_owner_first(places: list[tuple[int, Network]]) -> None:
    turns = [owner for owner, _ in places]
    expected = []
    for pair in combinations(places, 2):
        (one, first), (two, second) = pair
        if one != two and first.version == second.version and first.overlaps(second):
            expected.append(tuple(sorted(pair, key=lambda place: turns.index(place[0]))))
    found = list(overlapping(places))
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_many_that_are_apart_take_no_time() -> None:
    places = [(number, ip_network((number << 8, 24))) for number in range(20_000)]
    begun = time.process_time()
    assert list(overlapping(places)) == []
    assert time.process_time() - begun < 5

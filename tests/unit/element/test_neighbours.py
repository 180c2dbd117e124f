"""Who is asked for on behalf of the fast path, and when that is emptied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from element import neighbours
from element.neighbours import PERIOD, REST, Inquiries, Neighbour, Neighbours

REST_LOOKS = int(REST / PERIOD)
_NAMES = ("NONE", "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED")
STATES = {name: getattr(neighbours, f"NUD_{name}") for name in _NAMES}
STATES |= {"NOARP": 0x40, "PERMANENT": 0x80}
STATION, OTHER = Neighbour(4, "10.0.0.10"), Neighbour(5, "2001:db8::10")


class Link:
    """What Linux knows at a moment, and what is done about it."""

    def __init__(self, links: tuple[str, ...] = ("lan",)) -> None:
        self.asked: list[Neighbour] = []
        self.emptied = 0
        self.refuses = False
        self._now: Neighbours = {}
        self._time = 0.0
        self._inquiries = Inquiries(lambda: links, self._empty, lambda _: self._now, self._ask, lambda: self._time)

    def _ask(self, whom: Iterable[Neighbour]) -> None:
        self.asked += whom

    async def _empty(self) -> None:
        if self.refuses:
            raise OSError("the table is busy")
        self.emptied += 1

    def at(self, now: Neighbours) -> list[Neighbour]:
        """Who is asked for when Linux knows this, a period later."""
        self._time += PERIOD
        self._now, self.asked = now, []
        with suppress(OSError):
            asyncio.run(self._inquiries.inquire())
        return self.asked


def test_who_is_in_doubt_is_asked_for() -> None:
    link = Link()
    states = {STATION: neighbours.NUD_STALE, OTHER: neighbours.NUD_NONE}
    assert link.at(states) == [STATION, OTHER]
    assert link.emptied == 0


@pytest.mark.parametrize("state", ["REACHABLE", "DELAY", "PROBE", "INCOMPLETE", "PERMANENT", "NOARP", "FAILED"])
def test_nobody_else_is(state: str) -> None:
    link = Link()
    assert link.at({STATION: STATES[state]}) == []
    assert link.emptied == 0


@pytest.mark.parametrize("before", ["NONE", "REACHABLE", "STALE", "DELAY", "PROBE"])
def test_who_does_not_answer_any_more_ends_the_fast_path_once(before: str) -> None:
    link = Link()
    link.at({STATION: STATES[before], OTHER: neighbours.NUD_REACHABLE})
    for _ in range(3):
        assert link.at({STATION: neighbours.NUD_FAILED, OTHER: neighbours.NUD_REACHABLE}) == []
        assert link.emptied == 1


def test_who_is_looked_for_again_since_it_failed_does_not_hide() -> None:
    """Somebody else goes on pinging the station that the fast path sends to."""
    link = Link()
    link.at({STATION: neighbours.NUD_PROBE})
    link.at({STATION: neighbours.NUD_INCOMPLETE})
    assert link.emptied == 1
    for _ in range(REST_LOOKS):
        link.at({STATION: neighbours.NUD_FAILED})
    assert link.emptied == 1


def test_a_station_with_a_new_name_each_time_does_not_slow_down_all() -> None:
    link = Link()
    names = [Neighbour(4, f"10.0.0.{number}") for number in range(100, 100 + 4 * REST_LOOKS)]
    for gone, new in pairwise(names):
        link.at({gone: neighbours.NUD_FAILED, new: neighbours.NUD_STALE})
    assert link.emptied == 4


def test_who_is_silent_soon_after_another_is_not_forgotten() -> None:
    link = Link()
    link.at({STATION: neighbours.NUD_REACHABLE, OTHER: neighbours.NUD_REACHABLE})
    link.at({STATION: neighbours.NUD_FAILED, OTHER: neighbours.NUD_REACHABLE})
    for _ in range(REST_LOOKS):
        link.at({OTHER: neighbours.NUD_FAILED})
    assert link.emptied == 2


def test_what_could_not_be_emptied_is_emptied_later() -> None:
    link = Link()
    link.refuses = True
    link.at({STATION: neighbours.NUD_REACHABLE})
    link.at({STATION: neighbours.NUD_FAILED})
    link.refuses = False
    for _ in range(REST_LOOKS):
        link.at({STATION: neighbours.NUD_FAILED})
    assert link.emptied == 1


def test_who_was_never_there_does_not() -> None:
    """A tenant that looks for stations which do not exist would slow down all."""
    link = Link()
    for state in neighbours.NUD_INCOMPLETE, neighbours.NUD_FAILED, neighbours.NUD_INCOMPLETE, neighbours.NUD_FAILED:
        link.at({STATION: state})
    assert link.emptied == 0


def test_who_is_forgotten_and_not_looked_for_since_does_not() -> None:
    link = Link()
    link.at({STATION: neighbours.NUD_REACHABLE})
    assert link.at({}) == []
    assert link.emptied == 0


def test_without_a_fast_path_nobody_is_looked_for() -> None:
    assert Link(links=()).at({STATION: neighbours.NUD_STALE}) == []

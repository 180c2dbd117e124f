"""Who is asked for on behalf of the fast path, and when that is emptied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from element.neighbours import Inquiries, Neighbour, Neighbours
from pyroute2.netlink.rtnl import ndmsg

STATION, OTHER = Neighbour(4, "10.0.0.10"), Neighbour(5, "2001:db8::10")


class Link:
    """What Linux knows at a moment, and what is done about it."""

    def __init__(self, links: tuple[str, ...] = ("lan",)) -> None:
        self.asked: list[Neighbour] = []
        self.emptied = 0
        self._now: Neighbours = {}
        self._inquiries = Inquiries(lambda: links, self._empty, lambda _: self._now, self._ask)

    def _ask(self, whom: Iterable[Neighbour]) -> None:
        self.asked += whom

    async def _empty(self) -> None:
        self.emptied += 1

    def at(self, now: Neighbours) -> list[Neighbour]:
        """Who is asked for when Linux knows this."""
        self._now, self.asked = now, []
        asyncio.run(self._inquiries.inquire())
        return self.asked


def test_who_is_in_doubt_is_asked_for() -> None:
    link = Link()
    states = {STATION: ndmsg.NUD_STALE, OTHER: ndmsg.NUD_NONE}
    assert link.at(states) == [STATION, OTHER]
    assert link.emptied == 0


@pytest.mark.parametrize("state", ["REACHABLE", "DELAY", "PROBE", "INCOMPLETE", "PERMANENT", "NOARP", "FAILED"])
def test_nobody_else_is(state: str) -> None:
    link = Link()
    assert link.at({STATION: getattr(ndmsg, f"NUD_{state}")}) == []
    assert link.emptied == 0


@pytest.mark.parametrize("before", ["NONE", "REACHABLE", "STALE", "DELAY", "PROBE"])
def test_who_does_not_answer_any_more_ends_the_fast_path_once(before: str) -> None:
    link = Link()
    link.at({STATION: getattr(ndmsg, f"NUD_{before}"), OTHER: ndmsg.NUD_REACHABLE})
    for _ in range(3):
        assert link.at({STATION: ndmsg.NUD_FAILED, OTHER: ndmsg.NUD_REACHABLE}) == []
        assert link.emptied == 1


def test_who_was_never_there_does_not() -> None:
    """A tenant that looks for stations which do not exist would slow down all."""
    link = Link()
    for state in ndmsg.NUD_INCOMPLETE, ndmsg.NUD_FAILED, ndmsg.NUD_INCOMPLETE, ndmsg.NUD_FAILED:
        link.at({STATION: state})
    assert link.emptied == 0


def test_who_is_forgotten_and_not_looked_for_since_does_not() -> None:
    link = Link()
    link.at({STATION: ndmsg.NUD_REACHABLE})
    assert link.at({}) == []
    assert link.emptied == 0


def test_without_a_fast_path_nobody_is_looked_for() -> None:
    assert Link(links=()).at({STATION: ndmsg.NUD_STALE}) == []

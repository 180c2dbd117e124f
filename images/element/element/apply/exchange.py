"""Child SAs whose flow has got other selectors: a new one is made before the old one is ended, so that what both carry
loses nothing. Whoever starts the connection does it. A peer that has not got its new configuration yet narrows the new
child to what it knows (RFC 7296, section 2.9): then it is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from element.apply import selectors
from element.apply.selectors import Selectors

Message = dict[str, Any]
Key = tuple[str, str]
"""Names of connection and child."""

PATIENCE = 20.0
"""Seconds for the peer to follow; then what exceeds the selectors is ended, whoever started it."""
_CARRYING = frozenset({"INSTALLED", "REKEYING"})


class Exchanges:
    """Those under way. ``initiate`` and ``end`` (a child SA, by its number) ask charon."""

    def __init__(
        self,
        initiate: Callable[[str, str], None],
        end: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._initiate, self._end, self._now = initiate, end, now
        self._until: dict[Key, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    @property
    def connections(self) -> set[str]:
        """Those of which an exchange is under way."""
        return {name for name, _ in self._until}

    def begin(self, ike: str, child: str) -> None:
        """The selectors of a child have changed."""
        self._until[ike, child] = self._now() + PATIENCE

    def clear(self) -> None:
        """Nothing is known any more."""
        self._until.clear()

    def go_on(self, children: Mapping[Key, Message], associations: Iterable[Message]) -> None:
        """Bring each forward, as far as it can be now; ``children`` are the connections' as they are loaded."""
        present = list(associations)
        for key in list(self._until):
            wanted = children.get(key)
            if wanted is None or self._step(key, wanted, _carrying(key, present)):
                del self._until[key]

    def _step(self, key: Key, wanted: Message, sas: list[Message]) -> bool:
        """Is it done?"""
        right = [sa for sa in sas if not differs(sa, wanted)]
        former = [sa for sa in sas if sa not in right]
        late = self._now() >= self._until[key]
        starts = wanted["start_action"] != "none"
        if not former:
            return bool(right) or late
        if right and (starts or late):
            self._end_all(former)
            return True
        if late:
            self._end_all(sa for sa in former if not _within(sa, wanted))
            return True
        if starts:
            self._end_all(former[1:])  # earlier attempts
            self._initiate(*key)
        return False

    def _end_all(self, sas: Iterable[Message]) -> None:
        for sa in sas:
            self._end(sa["uniqueid"])


def _carrying(key: Key, associations: list[Message]) -> list[Message]:
    """The child SAs of a flow, oldest first."""
    ike, child = key
    found = [
        one
        for sa in associations
        if sa["name"] == ike
        for one in sa.get("child-sas", {}).values()
        if one["name"] == child and one["state"] in _CARRYING
    ]
    return sorted(found, key=lambda one: int(one["uniqueid"]))


def differs(sa: Message, wanted: Message) -> bool:
    """Does a child SA carry other than what its flow is to?"""
    return _selectors(sa, "-") != _selectors(wanted, "_")


def _selectors(tree: Message, joint: str) -> tuple[Selectors | None, ...]:
    return tuple(selectors.read(tree[f"{end}{joint}ts"]) for end in ("local", "remote"))


def _within(sa: Message, wanted: Message) -> bool:
    """Does a child carry nothing that is not wanted? Of what cannot be read nobody knows."""
    ends = zip(_selectors(sa, "-"), _selectors(wanted, "_"), strict=True)
    return all(has is not None and may is not None and selectors.within(has, may) for has, may in ends)

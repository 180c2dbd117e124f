"""A link of a running lab: cut it, impair it; both are undone by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.lab.lab import Lab

_SIDES = ("a", "b")


@dataclass(frozen=True)
class Impairment:
    """What netem does to one direction: times in milliseconds, shares in percent, rate in bits per second."""

    delay: float = 0
    jitter: float = 0
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0
    corrupt: float = 0
    rate: float = 0

    def netem(self) -> dict[str, float]:
        values = asdict(self)
        for key in ("delay", "jitter"):
            values[key] *= 1000  # netem counts microseconds
        return {key: value for key, value in values.items() if value}


class Link:
    """A cable between two interfaces. Directions are named by the end that receives (`toward`)."""

    def __init__(self, lab: Lab, description: dict[str, Any]) -> None:
        self._lab = lab
        self.index: int = description["index"]
        self.ends = tuple(f"{end['node']}:{end['interface']}" for end in description["ends"])

    def __repr__(self) -> str:
        return f"<link {self.ends[0]} -- {self.ends[1]}>"

    def port(self, end: str) -> str:
        """The lab host's side of one end: where a capture sees what that interface sends and receives."""
        return f"p{self.index}{self._side(end)}"

    def _side(self, end: str) -> str:
        if end not in self.ends:
            raise LookupError(f"{self!r} does not end at {end}")
        return _SIDES[self.ends.index(end)]

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Pull the cable for the length of a `with` block: both nodes lose carrier."""
        self._lab.agent.call("link.cut", link=self.index)
        try:
            yield
        finally:
            self._lab.agent.call("link.mend", link=self.index)

    @contextlib.contextmanager
    def impair(self, toward: str | None = None, **impairment: float) -> Iterator[None]:
        """Delay, lose, … what travels toward one end, or both ways, for the length of a `with` block.

        Keywords are the fields of `Impairment`. The lab host must be able to do netem (`requires: netem`).
        """
        netem = Impairment(**impairment).netem()
        sides = [self._side(toward)] if toward else list(_SIDES)
        with contextlib.ExitStack() as undo:
            for side in sides:
                self._lab.agent.call("link.impair", link=self.index, toward=side, netem=netem)
                undo.callback(self._lab.agent.call, "link.heal", link=self.index, toward=side)
            yield

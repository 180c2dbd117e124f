"""A link of a running lab: cut it, impair it; both are undone by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.faults import Corrupt, Cut, Delay, Duplicate, Fault, Loss, Rate, Reorder
from harness.faults.kinds import Direction

if TYPE_CHECKING:
    from harness.lab.lab import Lab

_SIDES = ("a", "b")


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
        with self._lab.fault(Cut(self.ends[0])):
            yield

    @contextlib.contextmanager
    def impair(
        self,
        toward: str | None = None,
        *,
        delay: float = 0,
        loss: float = 0,
        duplicate: float = 0,
        reorder: float = 0,
        corrupt: float = 0,
        rate: float = 0,
    ) -> Iterator[None]:
        """Delay (ms), lose, … (percent), slow down (bit/s) what travels toward one end, or both ways.

        For the length of a `with` block. The lab host must be able to do netem (`requires: netem`). More, and by name:
        `lab.fault` and the kinds of `harness.faults`.
        """
        end = toward or self.ends[0]
        direction: Direction = "in" if toward else "both"
        self._side(end)
        wanted: list[Fault] = []
        wanted += [Delay(end, delay, direction)] if delay else []
        wanted += [Loss(end, loss, direction)] if loss else []
        wanted += [Duplicate(end, duplicate, direction)] if duplicate else []
        wanted += [Reorder(end, reorder, direction=direction)] if reorder else []
        wanted += [Corrupt(end, corrupt, direction)] if corrupt else []
        wanted += [Rate(end, rate / 1e6, direction=direction)] if rate else []
        with self._lab.fault(*wanted):
            yield

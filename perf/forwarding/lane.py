"""Who is measured on which path, and what is offered there."""

from __future__ import annotations

from dataclasses import dataclass

from perf.forwarding import frames
from perf.forwarding.path import Path

OURS, HAND, PLAIN = "ours", "by hand", "plain"
DIRECTIONS = {"up": ("up",), "down": ("down",), "both": ("up", "down")}


@dataclass(frozen=True)
class Lane:
    """A path of the product's, of the peer's, or the plain one."""

    shape: str
    who: str
    path: Path

    def __str__(self) -> str:
        return self.shape if self.who == PLAIN else f"{self.shape}, {self.who}"


@dataclass(frozen=True)
class Load:
    """Frames of some sizes in some directions."""

    size: str
    way: str

    @property
    def sizes(self) -> tuple[int, ...]:
        return frames.SIZES[self.size]

    @property
    def ways(self) -> tuple[str, ...]:
        return DIRECTIONS[self.way]

    def __str__(self) -> str:
        return f"{self.size}, {self.way}"

"""How many sources there are at each moment, and when each begins something: pure functions of time and a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One level after the other, each for as many seconds."""

    levels: tuple[int, ...]
    seconds: float

    def sources(self, at: float) -> int | None:
        number = int(at // self.seconds)
        return self.levels[number] if number < len(self.levels) else None


@dataclass(frozen=True)
class Spike:
    """A level, and for a while a much higher one."""

    base: int
    peak: int
    begins: float
    lasts: float
    seconds: float

    def sources(self, at: float) -> int | None:
        if at >= self.seconds:
            return None
        return self.peak if self.begins <= at < self.begins + self.lasts else self.base


@dataclass(frozen=True)
class Sawtooth:
    """Rises evenly from the lowest to the highest, falls at once, and again."""

    lowest: int
    highest: int
    period: float
    seconds: float

    def sources(self, at: float) -> int | None:
        if at >= self.seconds:
            return None
        share = (at % self.period) / self.period
        return self.lowest + math.floor(share * (self.highest - self.lowest + 1))


@dataclass(frozen=True)
class Soak:
    """The same all the time."""

    level: int
    seconds: float

    def sources(self, at: float) -> int | None:
        return self.level if at < self.seconds else None


Shape = Step | Spike | Sawtooth | Soak
KINDS: dict[str, type[Shape]] = {"step": Step, "spike": Spike, "sawtooth": Sawtooth, "soak": Soak}


def begins(rate: float, seed: str) -> Iterator[float]:
    """Seconds from the beginning at which one source begins something, whatever became of what it began before.

    Independent of everybody (a Poisson process), and the same for the same seed.
    """
    drawn = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    at = 0.0
    while True:
        at += drawn.expovariate(rate)
        yield at

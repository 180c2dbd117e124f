"""Waiting: a named condition, a deadline in seconds, one knob that scales all of them.

`ELASTICLAB_TIME_SCALE` (default 1) multiplies every deadline: slow machines set it once instead of editing tests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harness import deeds

T = TypeVar("T")


class DeadlineError(TimeoutError):
    """A condition did not come true in time; says which, how long it was waited for, and what was seen last."""


def time_scale() -> float:
    return float(os.environ.get("ELASTICLAB_TIME_SCALE", "1"))


@dataclass
class Deadline:
    """A moment `seconds` from its making, scaled; several waits can share one so that ten checks cost one wait."""

    seconds: float
    start: float = field(default_factory=time.monotonic)

    @property
    def limit(self) -> float:
        return self.seconds * time_scale()

    @property
    def remaining(self) -> float:
        return max(0.0, self.start + self.limit - time.monotonic())

    def restart(self) -> None:
        """It is counted from now: what was until now had time of its own."""
        self.start = time.monotonic()

    def end(self) -> None:
        """It is now: whoever waits until then, in whatever thread, gives up."""
        self.seconds = 0.0

    @property
    def expired(self) -> bool:
        return self.remaining == 0.0


def wait_for(
    name: str,
    condition: Callable[[], T],
    seconds: float | Deadline,
    *,
    interval: float = 0.05,
    retry_on: tuple[type[Exception], ...] = (),
) -> T:
    """Poll `condition` at once and then until it is truthy; return its value.

    Exceptions of the types in `retry_on` count as "not yet" and are shown when time is up.

    Raises:
        DeadlineError: the condition stayed false until the deadline.
    """
    deadline = seconds if isinstance(seconds, Deadline) else Deadline(seconds)
    last: object = None
    begun, waited = time.monotonic(), False
    while True:
        try:
            value = condition()
        except retry_on as error:
            last = error
        else:
            if value:
                if waited:  # else there was nothing to wait for
                    deeds.tell("wait", f"{name}: after {time.monotonic() - begun:.3f} s")
                return value
            last = value
        if deadline.expired:
            deeds.tell("wait", f"{name}: not in {deadline.limit:g} s")
            raise DeadlineError(f"waited {deadline.limit:g} s for: {name}; last seen: {last!r}")
        waited = True
        time.sleep(min(interval, deadline.remaining))

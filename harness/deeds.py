"""What the harness does beside its calls to agents, for whoever writes a timeline: waits, and requests that change
something.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Deed:
    """One that is over: seconds since the epoch, what kind of deed, and what came of it."""

    what: str
    text: str
    at: float = field(default_factory=time.time)


_listeners: list[Callable[[Deed], object]] = []


def tell(what: str, text: str) -> None:
    """It was done now."""
    for listener in tuple(_listeners):  # one may end meanwhile, in another thread
        listener(Deed(what, text))


@contextlib.contextmanager
def heard(listener: Callable[[Deed], object]) -> Iterator[None]:
    """Every deed of this process inside the block is told to `listener`, in the thread that did it."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)

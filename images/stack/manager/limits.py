"""Rate limit by peer: a token bucket each, their number bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

PEERS = 4096


class RateLimit:
    """``burst`` requests at once, ``per_minute`` in the long run, for each peer."""

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, peer: str) -> float:
        """0 when the peer may ask now; else the seconds until it may."""
        now = self._clock()
        level, since = self._buckets.pop(peer, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        allowed = level >= 1
        self._buckets[peer] = (level - 1 if allowed else level, now)
        if len(self._buckets) > PEERS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self._rate

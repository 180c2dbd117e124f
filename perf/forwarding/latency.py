"""How long frames are on their way while so much passes: percentiles of an HDR histogram, in microseconds."""

from __future__ import annotations

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

SHARES = (0.0, 0.1, 0.5, 0.9)
"""Of PDR: what else is offered meanwhile."""
PERCENTILES = (50.0, 99.0, 99.9)
LEAST_SAMPLES = 100
_MOST_NANOSECONDS = 60 * 10**9
_DIGITS = 3


class LatencyError(ValueError):
    """Too few frames arrived to say anything."""


def percentiles(nanoseconds: Iterable[int]) -> dict[str, float]:
    """`p50`, `p99` and `p99.9`, in microseconds. Raises LatencyError."""
    histogram = HdrHistogram(1, _MOST_NANOSECONDS, _DIGITS)
    for one in nanoseconds:
        histogram.record_value(max(1, one))
    if histogram.get_total_count() < LEAST_SAMPLES:
        raise LatencyError(
            f"{histogram.get_total_count()} timed frames arrived: fewer than {LEAST_SAMPLES} say nothing"
        )
    return {f"p{level:g}": histogram.get_value_at_percentile(level) / 1000 for level in PERCENTILES}

"""What a soak comes to: slopes that a few odd samples do not move, drift, and promises with their verdicts."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from perf.load.sla import percentile
from perf.soak.watch import Sample

Json = Any
MOST_SLOPE = 1.0
"""Percent an hour, of memory and of descriptors."""
MOST_DRIFT = 10.0
"""Percent, of the 95th percentile of the time until an order is applied."""
LEAST_CYCLES = 1000
LEAST_SECONDS = 3600.0
PARTS = 6
"""An hour has six: the first is warm-up for memory, and the first and the last are compared for time."""
_MOST_POINTS = 400
"""Theil-Sen looks at all pairs."""
_DRAWN = 1000


_SURE = statistics.NormalDist().inv_cdf(0.975)


def slopes(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Theil and Sen: the median of the slopes of all pairs, which up to 29 % of odd points do not move; and between
    which two it is, as sure as 95 % (Sen 1968; by Kendall's variance, as if no point followed from that before it).
    """
    thin = points[:: -(-len(points) // _MOST_POINTS)] if points else ()
    found = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(thin, 2) if x2 != x1)
    if not found:
        return 0.0, 0.0, 0.0
    n = len(thin)
    wide = _SURE * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = int((len(found) - wide) / 2), math.ceil((len(found) + wide) / 2)
    return statistics.median(found), found[max(0, low)], found[min(high, len(found) - 1)]


def percent_an_hour(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The slope, and between which two it is."""
    middle = statistics.median(y for _, y in points)
    found = slopes(points)
    low, high = (round(100 * 3600 * one / middle, 3) if middle else 0.0 for one in found[1:])
    return round(100 * 3600 * found[0] / middle, 3) if middle else 0.0, low, high


def drift(applied: Sequence[tuple[float, float]], seconds: float) -> tuple[float, float, float] | None:
    """By how many percent p95 is greater in the last part than in the first, and between which two it is, as sure as
    95 % (Efron's bootstrap: of as many orders, drawn again and again); None when nothing was applied in one of them.
    """
    first = [took for at, took in applied if at < seconds / PARTS]
    last = [took for at, took in applied if at >= seconds - seconds / PARTS]
    if not first or not last:
        return None
    draw = random.Random(0)  # noqa: S311 - the same orders give the same answer
    drawn = sorted(_greater(draw.choices(first, k=len(first)), draw.choices(last, k=len(last))) for _ in range(_DRAWN))
    return _greater(first, last), drawn[round(0.025 * _DRAWN)], drawn[round(0.975 * _DRAWN) - 1]


def _greater(first: Sequence[float], last: Sequence[float]) -> float:
    return round(100 * (percentile(last, 0.95) / percentile(first, 0.95) - 1), 2)


def promise(value: float, bound: float, *, least: bool = False, void: str = "") -> Json:
    kept = value >= bound if least else value <= bound
    return {"median": value, "bound": bound, "kept": kept, "void": void} | ({"at least": True} if least else {})


def judged(
    samples: Mapping[str, Sequence[Sample]],
    applied: Sequence[tuple[float, float]],
    cycles: int,
    leaked: int,
    seconds: float,
    void: str,
) -> dict[str, Json]:
    """Each promise under a name of its own. What a short run cannot say is void in it."""
    short = void or (f"{seconds:g} s are fewer than {LEAST_SECONDS:g}" if seconds < LEAST_SECONDS else "")
    told = {
        "order and delete cycles": promise(cycles, LEAST_CYCLES, least=True, void=short),
        "kernel objects and programs left behind": promise(leaked, 0),
        "processes that began anew": promise(sum(len({one.pid for one in found}) - 1 for found in samples.values()), 0),
    }
    if found_drift := drift(applied, seconds):
        grown, low, high = found_drift
        drifted = promise(grown, MOST_DRIFT, void=short) | {"low": low, "high": high}
        told["drift of p95 until applied, %"] = drifted
    for name, found in sorted(samples.items()):
        warm = [one for one in found if one.at >= seconds / PARTS]
        if len(warm) < 2:
            continue
        for what, values in (
            ("memory (PSS)", [(one.at, float(one.proportional)) for one in warm]),
            ("memory (RSS)", [(one.at, float(one.resident)) for one in warm]),
            ("descriptors", [(one.at, float(one.descriptors)) for one in warm]),
        ):
            grown, low, high = percent_an_hour(values)
            told[f"{name}: {what}, % an hour"] = promise(grown, MOST_SLOPE, void=short) | {"low": low, "high": high}
    return told

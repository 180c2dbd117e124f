"""What was promised beside what was seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}


@dataclass(frozen=True)
class Verdict:
    """One promise."""

    what: str
    limit: str
    promised: float
    seen: float | None
    kept: bool

    def __str__(self) -> str:
        seen = "nothing was seen" if self.seen is None else f"{self.seen:g}"
        return f"{self.what}: {self.limit} {self.promised:g} promised, {seen}{'' if self.kept else '  MISSED'}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def judge(
    promises: Mapping[str, Mapping[str, float]], seen: Mapping[str, Sequence[float]], failed: Mapping[str, int]
) -> list[Verdict]:
    """Each promise. `seen` are milliseconds of what succeeded, `failed` how often it did not, by what was done.

    What was promised and never tried is missed: a run that did nothing keeps no promise.
    """
    return [
        _verdict(what, limit, promised, seen.get(what, ()), failed.get(what, 0))
        for what, limits in promises.items()
        for limit, promised in limits.items()
    ]


def _verdict(what: str, limit: str, promised: float, values: Sequence[float], failed: int) -> Verdict:
    tried = len(values) + failed
    if limit == "least":
        return Verdict(what, limit, promised, float(len(values)), len(values) >= promised)
    if limit == "share_failed":
        share = failed / tried if tried else None
        return Verdict(what, limit, promised, share, share is not None and share <= promised)
    found = round(percentile(values, SHARES[limit]), 1) if values else None
    return Verdict(what, limit, promised, found, found is not None and found <= promised)


def missed(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [one for one in verdicts if not one.kept]

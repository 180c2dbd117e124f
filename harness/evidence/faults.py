"""What was broken on purpose while a test ran, and what of it still was when the test failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from harness.lab.faults import INTERRUPTED


def told(records: Sequence[dict[str, Any]]) -> str:
    """The record of faults as text: a line each with begin, end, seed, and whether it was in effect at the failure."""
    ends = {record["id"]: record for record in records if record["event"] == "end"}
    begun = [record for record in records if record["event"] == "begin"]
    return "\n".join(_line(record, ends.get(record["id"])) for record in begun) + "\n"


def _line(begin: dict[str, Any], end: dict[str, Any] | None) -> str:
    since = _clock(begin["time"])
    if end is None:
        until, after, why = " " * len(since), "", "still in effect"
    else:
        until = _clock(end["time"])
        after = f"{end['monotonic'] - begin['monotonic']:8.3f} s"
        why = "IN EFFECT WHEN THE TEST FAILED" if end["why"].startswith(INTERRUPTED) else end["why"]
    return f"{since}  {until}  {after:>10}  {begin['text']}  (seed {begin.get('seed', '-')})  {why}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")[:-3]

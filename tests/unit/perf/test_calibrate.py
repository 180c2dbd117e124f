"""A scenario's promises come from a result of it: only milliseconds change, and the file says where they are from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from perf.load.calibrate import calibrated, promised
from perf.load.scenario import FOLDER, _read
from perf.record import Result, ResultError

SEEN = {"count": 9, "median": 100.0, "p95": 812.0, "p99": 1010.0, "min": 1.0, "max": 1999.0}


def run(void: str = "", *, without: str = "") -> Result:
    promises = tomllib.loads((FOLDER / "step.toml").read_text())["sla"]
    content: dict[str, Any] = {
        "void": void,
        "subject": {"commit": "0123456789abcdef"},
        "milliseconds": {what: SEEN for what in promises if what != without},
    }
    return Result(Path("load-20261122T235959Z.json"), content)


@pytest.mark.parametrize(
    ("seen", "least"), [(0.4, 1), (6.0, 9), (66.7, 110), (100.0, 150), (812.0, 1300), (1999.0, 3000)]
)
def test_a_promise_is_what_was_seen_and_half_more(seen: float, least: int) -> None:
    assert promised(seen) == least


def test_only_milliseconds_change_and_their_origin_is_told_once() -> None:
    text = (FOLDER / "step.toml").read_text()
    made = calibrated(text, run())
    before, after = tomllib.loads(text), tomllib.loads(made)
    assert after.pop("sla").keys() == before.pop("sla").keys()
    assert after == before
    accepted = _read("step", tomllib.loads(made)).sla["order accepted"]
    assert accepted == {"p95": 1300, "p99": 1600, "share_failed": 0}
    assert made.count("load-20261122T235959Z.json") == 1
    assert calibrated(made, run()) == made


def test_what_is_void_or_was_not_seen_calibrates_nothing() -> None:
    text = (FOLDER / "step.toml").read_text()
    with pytest.raises(ResultError, match="void"):
        calibrated(text, run("2 requests failed"))
    with pytest.raises(ResultError, match="order applied"):
        calibrated(text, run(without="order applied"))

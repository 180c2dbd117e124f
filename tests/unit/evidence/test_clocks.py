"""What was stamped by a clock that a fault had set wrong, told at the time when it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness import topology as topologies
from harness.evidence.clocks import Clocks, Wrong, righted, wrong_clocks

BEGIN = 1_800_000_000.0
BOTH = frozenset({"a", "b"})
TOPOLOGY = """
name: two
topology:
  nodes:
    a: {kind: linux, image: x, labels: {elasticlab.role: host, elasticlab.site: one}}
    b: {kind: linux, image: x, labels: {elasticlab.role: host}}
"""


def stamped(wrong: Sequence[Wrong], at: float) -> float:
    return next((one.shown(at) for one in wrong if one.begin <= at <= one.end), at)


@given(
    offset=st.floats(-4e7, 4e7).filter(lambda seconds: abs(seconds) > 8),
    drift=st.floats(-500, 500),
    begin=st.integers(5, 30),
    lasts=st.integers(5, 20),
    then=st.integers(0, 30),
)
def test_lines_of_a_log_are_told_when_they_were_written(
    offset: float, drift: float, begin: int, lasts: int, then: int
) -> None:
    # One that drifts through the right time shows what a right one shows: nobody could tell.
    assume(min(offset * (offset + drift * lasts / 1000), (offset + drift * lasts / 1000) ** 2) > 64)
    wrong = [Wrong(BEGIN + begin, BEGIN + begin + lasts, offset, drift, BOTH)]
    written = [BEGIN + second + 0.5 for second in range(begin + lasts + then)]
    clocks = Clocks(wrong, BEGIN + begin + lasts + then)
    assert clocks.meant("a", [stamped(wrong, at) for at in written]) == pytest.approx(written, abs=0.01)
    since = BEGIN + begin + 2.5
    assert clocks.earliest("a", since) <= min(stamped(wrong, at) for at in written if at >= since)


def test_the_only_line_of_a_log_is_one_of_the_fault() -> None:
    """Its clock had shown that an hour ago, too."""
    wrong = [Wrong(BEGIN, BEGIN + 30, -3600, 0, BOTH)]
    assert Clocks(wrong, BEGIN + 30).meant("a", [BEGIN - 3590]) == [BEGIN + 10]


def test_another_nodes_clock_is_right() -> None:
    clocks = Clocks([Wrong(BEGIN, BEGIN + 30, -3600, 0, frozenset({"b"}))], BEGIN + 30)
    assert clocks.meant("a", [BEGIN - 3590]) == [BEGIN - 3590]
    assert clocks.earliest("a", BEGIN) == BEGIN


def test_a_node_that_starts_anew_has_its_old_clock_for_a_moment() -> None:
    clocks = Clocks([Wrong(BEGIN, BEGIN + 30, 86_400, 0, BOTH)], BEGIN + 40)
    stamps = [BEGIN + 0.5, BEGIN + 86_402, BEGIN + 86_429, BEGIN + 29.5, BEGIN + 31]
    assert clocks.meant("a", stamps) == [BEGIN + 0.5, BEGIN + 2, BEGIN + 29, BEGIN + 29.5, BEGIN + 31]


def line(event: str, fault: str, time: float, monotonic: float, **what: Any) -> dict[str, Any]:
    return {"event": event, "id": fault, "time": time, "monotonic": monotonic, "on": [], **what}


CLOCK = {"kind": "clock", "values": {"offset": -3600.0, "drift": 0.0}}


def test_the_record_is_put_right_and_says_whose_clock_was_wrong_when(tmp_path: Path) -> None:
    (tmp_path / "two.clab.yml").write_text(TOPOLOGY)
    topology = topologies.load(tmp_path / "two.clab.yml")
    records = righted(
        [
            line("begin", "lab's", BEGIN, 100, **CLOCK),
            line("begin", "a cut", BEGIN - 3590, 110, kind="cut"),
            line("begin", "a's", BEGIN - 3588, 112, **CLOCK | {"on": ["site one"]}),
            line("end", "a cut", BEGIN - 3580, 120, kind="cut"),
            line("end", "lab's", BEGIN + 30, 130, **CLOCK),
            line("end", "a's", BEGIN + 40, 140, **CLOCK | {"on": ["site one"]}),
            line("begin", "cut off", BEGIN + 50, 150, **CLOCK),
            line("begin", "after a boot", BEGIN + 80, 3, kind="cut"),
        ]
    )
    assert [record["time"] - BEGIN for record in records] == [0, 10, 12, 20, 30, 40, 50, 80]
    assert list(wrong_clocks(records, topology, BEGIN + 90)) == [
        Wrong(BEGIN, BEGIN + 30, -3600, 0, BOTH),
        Wrong(BEGIN + 12, BEGIN + 40, -3600, 0, frozenset({"a"})),
        Wrong(BEGIN + 50, BEGIN + 90, -3600, 0, BOTH),
    ]

"""What counts as an outage in what ping(8) says."""

from __future__ import annotations

import pytest

from tests.scenarios.flows import Echoes, answers

HEAD = "PING 10.2.0.10 (10.2.0.10) 56(84) bytes of data.\n"
NUMBERS = {
    "nothing was lost": ([(10.0, 1, 1), (10.05, 2, 1), (10.1, 3, 2)], 3, 0.002),
    "ping itself was held up": ([(10.0, 1, 1), (13.0, 2, 1), (13.05, 3, 1)], 3, 0.001),
    "a queue held an answer back": ([(10.0, 1, 1), (13.0, 2, 2950), (13.01, 3, 2910)], 3, 2.95),
    "one came after the next": ([(10.0, 1, 1), (10.4, 3, 300), (10.5, 2, 450)], 3, 0.45),
    "some were lost": ([(10.0, 1, 1), (12.0, 40, 1), (12.05, 41, 1)], 41, 2.0),
    "the first were lost": ([(11.5, 30, 1)], 30, 1.5),
    "the last were lost": ([(10.0, 1, 1)], 60, 4.0),
    "all were lost": ([], 80, 4.0),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_an_outage_is_the_ways(case: str) -> None:
    lines, sent, outage = NUMBERS[case]
    seen = Echoes(0.05)
    seen.sent, seen.span = sent, (10.0, 14.0)
    said = [
        f"[{moment:.6f}] 64 bytes from 10.2.0.10: icmp_seq={n} ttl=62 time={took:g} ms\n" for moment, n, took in lines
    ]
    seen.answers = answers(HEAD + "".join(said))
    assert seen.outage == pytest.approx(outage)


@pytest.mark.parametrize(("sent", "steady"), [(9, False), (20, False), (21, True), (80, True)])
def test_who_asks_all_the_time_is_told_from_who_does_not(sent: int, steady: bool) -> None:
    seen = Echoes(0.05)
    seen.sent, seen.span = sent, (10.0, 14.0)
    assert seen.steady is steady
    seen.span = (10.0, 10.1)
    assert seen.steady is (sent > 10)

"""A soak's verdicts: what grows is seen however noisy, what is odd does not matter, and a short run says nothing."""

from __future__ import annotations

import random

import pytest

from perf.soak.judging import LEAST_CYCLES, drift, judged, percent_an_hour, slopes
from perf.soak.watch import Sample, read

HOUR = 3600.0


def samples(growth: float, *, pid: int = 7) -> list[Sample]:
    """An hour of 100 MiB that grow by so many percent, with noise and some odd values."""
    noise = random.Random(1)
    found = []
    for number in range(360):
        at = 10.0 * number
        size = 102_400 * (1 + growth / 100 * at / HOUR) + noise.gauss(0, 100)
        odd = 60_000 if number % 10 == 3 else 0
        found.append(Sample(at, pid, int(size) + odd, int(size) + odd, 20))
    return found


@pytest.mark.parametrize("growth", [-3.0, 0.0, 0.5, 2.0, 30.0])
def test_a_slope_is_found_among_noise_and_odd_values(growth: float) -> None:
    points = [(one.at, float(one.proportional)) for one in samples(growth)]
    found, low, high = percent_an_hour(points)
    assert found == pytest.approx(growth, abs=0.25 + abs(growth) / 5)
    assert low < found < high
    assert high - low < 0.3


def test_what_noise_leaves_unsure_is_said() -> None:
    noise = random.Random(2)
    points = [(float(at), 1000.0 + noise.gauss(0, 50)) for at in range(0, 3600, 60)]
    _, low, high = percent_an_hour(points)
    assert low < 0 < high


def test_a_slope_of_few_points() -> None:
    assert slopes([]) == slopes([(1.0, 5.0)]) == (0.0, 0.0, 0.0)
    assert slopes([(0.0, 1.0), (2.0, 5.0)]) == (2.0, 2.0, 2.0)
    assert percent_an_hour([(0.0, 0.0), (1.0, 0.0)]) == (0.0, 0.0, 0.0)


def test_the_last_part_is_held_against_the_first() -> None:
    applied = [(at, 1000.0 + (300.0 if at > 3000 else 0.0)) for at in range(0, 3600, 4)]
    assert drift(applied, HOUR) == (30.0, 30.0, 30.0)
    assert drift(applied[:100], HOUR) is None


def test_what_a_few_orders_leave_unsure_of_the_drift_is_said() -> None:
    """Two hundred orders that are as fast at the end as at the beginning can differ by more than the bound."""
    noise = random.Random(5)
    applied = [(float(at), 1000.0 * noise.lognormvariate(0, 0.4)) for at in range(0, 3600, 3)]
    found = drift(applied, HOUR)
    assert found is not None
    _, low, high = found
    assert low < 0 < high
    assert high - low > 10


def verdicts(growth: float = 0.0, *, leaked: int = 0, seconds: float = HOUR, late: float = 1.0, anew: bool = False):
    found = samples(growth)
    if anew:
        found[200:] = [Sample(one.at, 8, one.resident, one.proportional, 20) for one in found[200:]]
    applied = [(float(at), 1000.0 * (late if at > 3000 else 1.0)) for at in range(0, 3600, 3)]
    return judged({"stack gro": found}, applied, LEAST_CYCLES, leaked, seconds, "")


def test_what_is_steady_keeps_every_promise() -> None:
    told = verdicts()
    assert all(one["kept"] and not one["void"] for one in told.values())
    assert {"stack gro: memory (PSS), % an hour", "stack gro: descriptors, % an hour"} <= told.keys()


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ({"growth": 3.0}, {"stack gro: memory (PSS), % an hour", "stack gro: memory (RSS), % an hour"}),
        ({"leaked": 1}, {"kernel objects and programs left behind"}),
        ({"late": 1.2}, {"drift of p95 until applied, %"}),
        ({"anew": True}, {"processes that began anew"}),
    ],
)
def test_each_promise_can_be_missed(what, broken) -> None:
    assert {name for name, one in verdicts(**what).items() if not one["kept"]} == broken


def test_a_short_run_says_nothing_of_slopes_and_all_of_leaks() -> None:
    told = verdicts(seconds=600.0, leaked=2)
    assert "fewer than 3600" in told["order and delete cycles"]["void"]
    assert not told["kernel objects and programs left behind"]["void"]
    assert not told["kernel objects and programs left behind"]["kept"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("42 18 87212 66000 /opt/stack/bin/python -m gro ", "gro"),
        ("42 18 87212 66000 /usr/lib/ipsec/charon", "charon"),
    ],
)
def test_a_process_by_its_name(line: str, name: str) -> None:
    assert read(1.0, line) == (name, Sample(1.0, 42, 87212, 66000, 18))

"""Load as data: shapes, moments, promises, scenarios; whom it may go to."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from perf.load import scenario, sla
from perf.load.run import Seen
from perf.load.seen import FLOOR, FLOOR_IN_FAULT
from perf.load.shapes import Sawtooth, Soak, Spike, Step, begins
from perf.load.sites import Slots, made
from perf.load.target import TargetError, refuse_host


def test_shapes_are_what_they_are_called() -> None:
    assert [Step((1, 5), 10).sources(at) for at in (0, 9.9, 10, 19.9, 20)] == [1, 1, 5, 5, None]
    spike = Spike(base=2, peak=20, begins=5, lasts=1, seconds=10)
    assert [spike.sources(at) for at in (0, 5, 5.9, 6, 10)] == [2, 20, 20, 2, None]
    teeth = Sawtooth(lowest=1, highest=4, period=4, seconds=8)
    assert [teeth.sources(at) for at in range(9)] == [1, 2, 3, 4, 1, 2, 3, 4, None]
    assert [Soak(3, 60).sources(at) for at in (0, 59.9, 60)] == [3, 3, None]


def test_moments_are_drawn_before_anything_happens_and_are_the_same_again() -> None:
    first, again = (list(itertools.islice(begins(5.0, "a"), 2000)) for _ in range(2))
    assert first == again
    assert first == sorted(first)
    assert first != list(itertools.islice(begins(5.0, "b"), 2000))
    assert 2000 / first[-1] == pytest.approx(5.0, rel=0.1)


def test_a_promise_is_kept_missed_or_not_even_tried() -> None:
    promises = {
        "order applied": {"p95": 100.0, "least": 3, "share_failed": 0.0},
        "never": {"p50": 1.0, "share_failed": 1},
    }
    verdicts = sla.judge(promises, {"order applied": [10.0] * 18 + [99.0, 500.0]}, {"order applied": 1})
    assert [one.kept for one in verdicts] == [True, True, False, False, False]
    assert verdicts[2].seen == pytest.approx(1 / 21)
    assert "nothing was seen" in str(verdicts[3])
    assert [one.kept for one in sla.judge({"x": {"most": 5}}, {"x": [5.0]}, {})] == [True]


@pytest.mark.parametrize("name", [file.stem for file in scenario.FOLDER.glob("*.toml")])
def test_every_scenario_can_be_read_and_promises_something(name: str) -> None:
    found = scenario.load(name)
    assert found.sla
    assert found.about
    assert found.shape.sources(0)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (('kind = "step"', 'kind = "stairs"'), "kind is one of step, spike, sawtooth, soak, not 'stairs'"),
        (("orders = 1", "order = 1"), r"\[users\] knows .* not order"),
        (("share_failed = 0", "failures = 0"), r"\[sla\.'order accepted'\] knows .* not failures"),
        (("rate = 0.5", "speed = 1"), "the file knows .* not speed"),
    ],
)
def test_a_scenario_that_is_wrong_is_refused_with_the_place(change: tuple[str, str], what: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    file.write_text((scenario.FOLDER / "short.toml").read_text().replace(*change, 1))
    with pytest.raises(scenario.ScenarioError, match=what):
        scenario.load(file)


def test_a_scenario_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(scenario.ScenarioError, match=r"there is no scenario nothing; there are faults, .*step"):
        scenario.load("nothing")


@pytest.mark.parametrize("host", [None, "", "http://localhost:80", "http://127.0.0.1:8089/x", "https://[::1]:1"])
def test_load_may_go_to_loopback(host: str | None) -> None:
    refuse_host(host)


@pytest.mark.parametrize(
    "host", ["https://example.org", "http://192.0.2.1", "198.51.100.80", "http://127.0.0.1.example.org"]
)
def test_load_goes_nowhere_else(host: str) -> None:
    with pytest.raises(TargetError, match="load goes to labs and to loopback"):
        refuse_host(host)


def test_parts_of_a_run_have_sites_of_their_own() -> None:
    mine, yours = made(50, 40, 8), made(51, 40, 8)
    assert {one.vlan for one in mine}.isdisjoint({one.vlan for one in yours})
    gateways = {one.gateway for one in [*made(0, 50), *mine, *yours]}
    assert len(gateways) == 130
    slots = Slots(mine[:2])
    first = slots.take()
    assert first
    assert slots.take() == mine[1]
    assert slots.take() is None
    slots.give(first)
    assert slots.take() == first


def steady(count: int = 20, slow: float = 1.0) -> Seen:
    seen = Seen(capacity=1000.0, seconds=10.0)
    for number in range(count):
        seen.add(FLOOR, slow if number >= count - count // 5 else 1.0)
    return seen


def test_a_run_is_void_when_the_floor_moves_something_fails_or_the_generator_is_the_limit() -> None:
    assert steady().void == ""
    assert "1.60 times" in steady(slow=1.6).void
    assert "less than 5 times" in steady(count=4).void
    failed = steady()
    failed.add("order accepted", 5.0, "UserError: no")
    assert failed.void == "1 requests failed"
    killed = steady()
    killed.add(FLOOR_IN_FAULT, 9.0, "ConnectError: no")
    assert killed.void == ""
    assert killed.failures() == {FLOOR_IN_FAULT: 1}
    assert killed.floor_parts() == [1.0] * 5
    slow = steady()
    slow.capacity = 5.0
    assert "makes only 2.5 times this load" in slow.void


def test_news_are_told_once_and_add_up() -> None:
    worker, master = steady(), Seen()
    master.merge(worker.take_news())
    worker.phases.append(("verify", 0.5))
    worker.add("order applied", 7.0)
    master.merge(worker.take_news())
    assert worker.take_news() == {"samples": [], "phases": [], "late": []}
    assert len(master.durations()[FLOOR]) == 20
    assert (master.durations()["order applied"], master.steps()) == ([7.0], {"verify": [0.5]})

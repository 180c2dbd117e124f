"""The agent's channel into a lab kernel: a call is a matter of milliseconds, also from many threads at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.host.channel import AgentError, AgentLost
from harness.lab import Lab

pytestmark = pytest.mark.topology("demo")


def test_a_call_takes_five_milliseconds_at_most(lab: Lab, record_property: Callable[[str, object], None]) -> None:
    lab.agent.call("ping")
    samples = []
    for _ in range(200):
        begun = time.perf_counter()
        lab.agent.call("ping")
        samples.append(time.perf_counter() - begun)
    median = statistics.median(samples)
    record_property("median ms", round(median * 1000, 3))
    assert median <= 0.005


def test_a_long_call_does_not_hold_up_others(lab: Lab) -> None:
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(lab["host-1"].run, "sleep", "2")
        begun = time.perf_counter()
        for _ in range(20):
            lab.agent.call("ping")
        assert time.perf_counter() - begun < 1
        assert long.result().ok


def test_an_unknown_operation_and_a_lost_agent_are_errors_that_say_so(lab: Lab) -> None:
    with pytest.raises(AgentError, match="knows no operation 'dance'"):
        lab.agent.call("dance")
    other = lab.host.agent()
    other.close()
    with pytest.raises((AgentLost, OSError)):
        other.call("ping")

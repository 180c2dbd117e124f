"""LAB-06: one clock in the report, also while a fault sets clocks wrong."""

from __future__ import annotations

import time

import pytest

from harness.evidence import timeline
from harness.evidence.clocks import righted
from harness.faults import Clock, Cut
from harness.lab import Lab
from harness.lab.faults import recorded

pytestmark = pytest.mark.topology("breakable")


def says(lab: Lab, node: str, what: str) -> float:
    """As a service does; the middle of the time in which it did."""
    begun = time.time()
    lab[node].sh(f"mkdir -p /var/log/speaker; echo {what} | svlogd -tt /var/log/speaker")
    return (begun + time.time()) / 2


def test_what_happens_while_clocks_are_wrong_is_told_in_its_place(lab: Lab) -> None:
    long_ago = "$(date -u -d '30 minutes ago' +%Y-%m-%d_%H:%M:%S.00000)"
    lab["west"].sh(f"mkdir -p /var/log/speaker; echo {long_ago} before the test > /var/log/speaker/current")
    begun = time.time()
    happened = {}
    with lab.fault(Clock("east", offset=86_400)):
        happened["ahead"] = says(lab, "east", "ahead")
    happened["right"] = says(lab, "east", "right")
    with lab.fault(Clock(offset=-3600)):
        happened["behind"] = says(lab, "west", "behind")
        with lab.fault(Cut("far:lan")):
            cut = time.time()
        seen = {entry.text: entry.at for entry in timeline.gather(lab, begun) if entry.who == "speaker"}
    assert seen == pytest.approx(happened, abs=0.5)
    told = [entry.at for entry in timeline.of_faults(righted(recorded(lab))) if entry.text == "cut on far:lan"]
    assert told[-2:] == pytest.approx([cut, cut], abs=0.5)

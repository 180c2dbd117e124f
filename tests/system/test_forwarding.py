"""What is changed under load (B9), on the lab of its benchmark: each change is made and undone, ours and by hand."""

from __future__ import annotations

from itertools import product

import pytest

from harness.lab import Lab
from perf.forwarding import blocked, trial
from perf.forwarding import lab as labs
from perf.forwarding.blocked import ADD, EVENTS, POLICY, REKEY, TUNNELS, Blocked, Changes
from perf.forwarding.lane import HAND, OURS, Load
from perf.peers import handmade

pytestmark = [pytest.mark.topology("forwarding"), pytest.mark.exhaustive]

LOAD = Load("64", "up")
BOXES = {OURS: "ucpe-1", HAND: handmade.SITE.node}
_THERE = {
    ADD: "ip -o link | sed -E 's/^[0-9]+: ([^:@]+).*/\\1/'",
    POLICY: "{ ip route show table all; ip rule; nft -s list ruleset; } | grep -F 192.0.2.200 || true",
    REKEY: "ip xfrm state | grep -o 'spi 0x[0-9a-f]*'",
}
"""What of a box an event changes."""


@pytest.fixture
def changes(lab: Lab) -> Changes:
    labs.build_by_hand(lab)
    customer, services = labs.order(lab, list(TUNNELS))
    return Changes(lab, customer, services["routed"])


def test_each_change_is_made_under_load_and_undone_and_what_passed_is_counted(lab: Lab, changes: Changes) -> None:
    lanes = labs.lanes(lab, list(TUNNELS))
    for event, who in product(EVENTS, (OURS, HAND)):
        before = _there(lab, event, who)
        undo = changes.make(event, who)
        assert _there(lab, event, who) - before, f"{event}, {who}: nothing has changed"
        undo()
        assert event == REKEY or _there(lab, event, who) == before, f"{event}, {who} is not undone"
    found = blocked.prepare(changes, lanes, LOAD, "quick")
    assert set(found.rates) == set(TUNNELS)
    assert min(found.rates.values()) > 100
    for event, who in product(EVENTS, (OURS, HAND)):
        before = _there(lab, event, who)
        found.measure(event, who)
        assert (_there(lab, event, who) == before) is (event != REKEY)
    assert set(found.values) == set(found.offered) == set(product(EVENTS, TUNNELS, (OURS, HAND)))
    assert all(len(one) == 1 and 0.3 < one[0] < 1.01 for one in found.offered.values()), found.offered
    assert _voids(found, lab) == {"1 rounds are fewer than 5"}


def _there(lab: Lab, event: str, who: str) -> set[str]:
    return set(lab[BOXES[who]].sh(_THERE[event]).splitlines())


def _voids(found: Blocked, lab: Lab) -> set[str]:
    generator = trial.self_test(lab["host-1"], LOAD.sizes, 0.2)
    return {one["void"] for one in found.promises(0, generator).values()}

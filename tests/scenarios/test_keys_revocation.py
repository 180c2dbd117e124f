"""A site that is revoked is silent within ten seconds, on the wire, and nobody else notices ("Keys": revocation).

host-1 ── ucpe-1 ── NAT ── internet ── vmsr-1      (ucpe-1 is taken back while it carries load)
host-2 ── ucpe-2 ─────────────┘
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.scenarios.keys import ESP, REVOKED_WITHIN, readmit, registered, revoke, tunnelled
from tests.scenarios.stream import carried, streams

pytestmark = pytest.mark.topology("demo")

BOX, SERVER, NAT = "ucpe-1", "198.51.100.80", "192.0.2.2"


@pytest.fixture
def taken_in_again(lab: Lab) -> Iterator[None]:
    """After the test the box is legal, as new from the factory, and at work."""
    yield
    readmit(lab, BOX)
    lab["host-1"].must_reach(SERVER, 60)


@pytest.mark.usefixtures("taken_in_again")
def test_a_revoked_site_is_silent_within_ten_seconds_and_others_lose_nothing(lab: Lab) -> None:
    ways = ("host-1", "internet", SERVER), ("host-2", "internet", SERVER)
    with streams(lab, *ways, rate=500) as (revoked, other):
        carried(1.0)
        with lab.capture("vmsr-1:wan", f"host {NAT}") as before:
            carried(0.5)
        seconds = revoke(
            lab,
            BOX,
            pop=lambda: NAT not in associations(lab, "vmsr-1"),
            site=lambda: not tunnelled(lab, BOX),
        )
        with lab.capture("vmsr-1:wan", f"host {NAT}") as after, lab.capture(f"{BOX}:wan") as own:
            carried(3.0)
        assert NAT not in associations(lab, "vmsr-1"), "it came back"
    assert max(seconds.values()) <= REVOKED_WITHIN, seconds
    assert before.count(ESP) > 0, "there was nothing to be silenced"
    assert after.count(ESP) == 0
    assert own.count(ESP) == 0, "the site sends to whoever listens"
    assert revoked.lost > 500, str(revoked)
    assert (other.lost, other.doubled) == (0, []), str(other)
    assert set(registered(lab, BOX).values()) == {True}


def associations(lab: Lab, box: str) -> str:
    """ESP SAs of a box."""
    return lab[box].exec("ip", "xfrm", "state", "list", "nokeys")

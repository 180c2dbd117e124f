"""A site that is revoked is silent within ten seconds, on the wire, and nobody else notices ("Keys": revocation).

host-1 ── ucpe-1 ── NAT ── internet ── vmsr-1      (ucpe-1 is taken back while it carries load)
host-2 ── ucpe-2 ─────────────┘
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.lab import Lab
from tests.scenarios.keys import (
    ESP,
    REVOKED_WITHIN,
    administer,
    readmit,
    registered,
    revoke,
    seen_by,
    tunnelled,
    until_ended,
)
from tests.scenarios.stream import carried, streams

pytestmark = pytest.mark.topology("demo")

BOX, POP, SERVER, NAT = "ucpe-1", "vmsr-1", "198.51.100.80", "192.0.2.2"


@pytest.fixture
def taken_in_again(lab: Lab) -> Iterator[None]:
    """After the test the box is legal, as new from the factory, and at work."""
    yield
    administer(lab, BOX, "revoked")  # or the new one would be taken for a copy
    readmit(lab, BOX)
    lab["host-1"].must_reach(SERVER, 60)


@pytest.mark.usefixtures("taken_in_again")
def test_a_revoked_site_is_silent_within_ten_seconds_and_others_lose_nothing(lab: Lab) -> None:
    ways = ("host-1", "internet", SERVER), ("host-2", "internet", SERVER)
    with streams(lab, *ways, rate=500) as (revoked, other):
        carried(1.0)
        with lab.capture(f"{POP}:wan", f"host {NAT}") as before:
            carried(0.5)
        seconds = revoke(
            lab,
            BOX,
            pop=lambda: NAT not in associations(lab, POP),
            site=lambda: not tunnelled(lab, BOX),
        )
        with lab.capture(f"{POP}:wan", f"host {NAT}") as after, lab.capture(f"{BOX}:wan") as own:
            carried(3.0)
        assert NAT not in associations(lab, POP), "it came back"
    assert max(seconds.values()) <= REVOKED_WITHIN, seconds
    assert before.count(ESP) > 0, "there was nothing to be silenced"
    assert after.count(ESP) == 0
    assert own.count(ESP) == 0, "the site sends to whoever listens"
    assert revoked.lost > 500, str(revoked)
    assert (other.lost, other.doubled) == (0, []), str(other)
    assert set(registered(lab, BOX).values()) == {True}


# The element's own code renews, beside the identity that the box uses: who copied that would do the same.
_RENEW_ASIDE = """
from pathlib import Path
from element.enrolment.renewal import Renewal
Renewal(Path("/run/copy"), Path("/factory/trust-anchor.pem"), lambda: "wan").renew()
"""
_SHOW = """
import socket, sys, vici
session = socket.socket(socket.AF_UNIX)
session.connect("/run/charon.vici")
vici.Session(session).load_cert({"type": "X509", "flag": "NONE", "data": sys.stdin.read()})
"""
_PYTHON = "/opt/element/bin/python"


@pytest.mark.exhaustive  # it takes a box in anew, as the test above does
@pytest.mark.usefixtures("taken_in_again")
def test_one_of_several_certificates_ends_what_was_made_with_it(lab: Lab) -> None:
    """A box's identity was copied. Whoever has one renews until the certificate of the other is the oldest of too many;
    the POP has met the new one, and does not take an SA that was made with the old one for its."""
    lab["host-1"].must_reach(SERVER, 20)
    (old,) = seen_by(lab, BOX, BOX) & registered(lab, BOX).keys()
    lab[BOX].sh("rm -rf /run/copy; cp -a /var/lib/element/identity /run/copy")
    for _ in range(8):
        lab[BOX].exec(_PYTHON, "-c", _RENEW_ASIDE)
        new = lab[BOX].exec("cat", "/run/copy/current/ike.pem")
        lab[POP].run(_PYTHON, "-c", _SHOW, stdin=new).check()
        if registered(lab, BOX)[old]:
            break
    start = time.monotonic()
    assert registered(lab, BOX)[old], "the manager let it have as many as it wants"
    assert len(seen_by(lab, POP, BOX)) > 1
    seconds = until_ended(start, pop=lambda: NAT not in associations(lab, POP))
    assert max(seconds.values()) <= REVOKED_WITHIN, seconds
    lab["host-1"].must_not_reach(SERVER, 3)
    assert NAT not in associations(lab, POP), "it came back"


def associations(lab: Lab, box: str) -> str:
    """ESP SAs of a box."""
    return lab[box].exec("ip", "xfrm", "state", "list", "nokeys")

"""The operator's authority is away for a while ("Keys", `faults/ca-outage.yaml`): nobody is taken in, no certificate is
renewed, whoever asks is told why; tunnels stay; and when it is back nobody has to help.

    host-1 ── ucpe-1 ── NAT ── internet ── vmsr-1
    host-2 ── ucpe-2 ─────────────┘
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from yangkit import RpcError

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.keys import (
    ike_sas,
    own_certificate,
    readmit,
    registered,
    renew,
    seen_by,
    status,
)
from tests.scenarios.stream import carried, streams

pytestmark = pytest.mark.topology("demo")

BOX, POP, SERVER, HOST_1 = "ucpe-2", "vmsr-1", "198.51.100.80", "10.1.0.10"
AWAY = r"https://203\.0\.113\.6:8572/\S+: timed out"


@contextmanager
def without_loss(lab: Lab, host: str) -> Iterator[None]:
    """Within the block what a branch sends through its tunnel arrives."""
    with streams(lab, (host, "internet", SERVER), rate=200) as ways:
        carried(0.5)
        yield
        carried(0.5)
    assert ways[0].sent > 100
    assert (ways[0].lost, ways[0].doubled) == (0, []), str(ways[0])


def test_who_cannot_renew_its_keys_says_why_keeps_what_it_has_and_renews_them_later(lab: Lab) -> None:
    before, known, tunnels = own_certificate(lab, BOX), registered(lab, BOX), ike_sas(lab, BOX, POP)
    with without_loss(lab, "host-2"):
        with lab.faults("ca-outage"), pytest.raises(RpcError, match=f"the certificates are as before: {AWAY}"):
            renew(lab, BOX)
        assert (own_certificate(lab, BOX), registered(lab, BOX)) == (before, known)
        assert ike_sas(lab, BOX, POP) == tunnels
        new = renew(lab, BOX)
        wait_for("the POP to see the new one", lambda: new["ike"] in seen_by(lab, POP, BOX), 10)
    assert not known.keys() & set(new.values())


@pytest.mark.exhaustive  # it takes a box in anew, as a revocation's does; the outage is in every run by the test above
def test_a_new_box_is_taken_in_when_the_authority_is_back(lab: Lab) -> None:
    with without_loss(lab, "host-1"):
        with lab.faults("ca-outage"):
            readmit(lab, BOX)
            log = "grep -cE 'not enrolled: {}' /var/log/element/current"
            wait_for("the box to say why", lambda: lab[BOX].run("sh", "-c", log.format(AWAY)).ok, 40)
            assert status(lab, BOX) != "managed"
            lab["host-2"].must_not_reach(HOST_1)
        wait_for("the box to be taken in", lambda: status(lab, BOX) == "managed", 40)
        lab["host-2"].must_reach(HOST_1, 40)

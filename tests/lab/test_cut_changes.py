"""The backend is killed in the middle of a change, or charon is away during one: what is on the wire follows what is
configured, all the same. Boxes, tenants and addresses are those of test_ipsec.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.lab.living import Living, Refused
from tests.lab.test_ipsec import (  # noqa: F401 - `boxes` is a fixture
    FAR_HOST,
    HERE,
    THERE,
    Boxes,
    box_1,
    box_2,
    boxes,
    caller,
    flow,
    responder,
    up,
)

pytestmark = pytest.mark.topology("boxes")

ELSEWHERE = "10.9.64.0/24"


def carried(box: Living) -> list[list[str]]:
    """The far prefixes of each child SA of acme's, as charon has them."""
    return [line.split()[1:] for line in ends(box).splitlines() if line.strip().startswith("remote ") and "/" in line]


def peers(box: Living) -> set[str]:
    """With whom acme's connection has SAs: identities."""
    return {line.split("'")[1] for line in ends(box).splitlines() if line.strip().startswith("remote ") and "'" in line}


def ends(box: Living) -> str:
    """All that charon says of acme's SAs."""
    return box.node.exec("swanctl", "--list-sas", "--ike", "acme")


@contextmanager
def without_charon(lab: Lab) -> Iterator[None]:
    """box-1 has no charon for the length of a `with` block."""
    lab["box-1"].exec("sv", "-w", "15", "down", "charon")
    try:
        yield
    finally:
        lab["box-1"].exec("sv", "-w", "15", "up", "charon")


class TestTheBackendIsKilled:
    def test_while_selectors_are_exchanged(self, lab: Lab, boxes: Boxes) -> None:  # noqa: F811
        """The far end has not followed yet, and lets in more than is asked for when it does."""
        near, far = caller("acme"), responder("acme")
        near["spd"] = {"spd-entry": [flow("acme", [HERE], [ELSEWHERE])]}
        far["spd"] = {"spd-entry": [flow("acme", [THERE, ELSEWHERE], [HERE])]}
        boxes[1].configure(box_2(responder("acme")))
        boxes[0].configure(box_1(caller("acme")))
        up(boxes, "acme")
        assert carried(boxes[0]) == [[THERE]]
        boxes[0].configure(box_1(near))
        boxes[0].stop()
        assert carried(boxes[0]) == [[THERE]], "it was killed too late for this test"
        boxes[1].configure(box_2(far))
        boxes[0].start()
        boxes[0].configure(box_1(near))
        wait_for("the new selectors alone", lambda: carried(boxes[0]) == [[ELSEWHERE]], 15)
        wait_for("the same at the far end", lambda: THERE not in ends(boxes[1]), 15)

    def test_before_another_peer_was_confirmed(self, lab: Lab, boxes: Boxes) -> None:  # noqa: F811
        """A confirmed commit named another gateway; the box starts with what it had before."""
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        boxes[0].configure(box_1(caller("acme")))
        up(boxes, "acme")
        other = caller("acme")
        other["remote"] = {"remote-pad-entry-name": "gateway-beta", "address": "192.0.2.66"}
        boxes[0].configure(box_1(other))
        wait_for("SAs with the other gateway", lambda: peers(boxes[0]) == {"192.0.2.66"}, 15)
        boxes[0].stop()
        boxes[0].start()
        boxes[0].configure(box_1(caller("acme")))
        wait_for("SAs with the former gateway alone", lambda: peers(boxes[0]) == {"192.0.2.65"}, 15)
        up(boxes, "acme")
        lab["host-1"].must_reach(FAR_HOST)


class TestCharonIsAway:
    def test_a_credential_that_is_not_there_is_refused_all_the_same(self, lab: Lab, boxes: Boxes) -> None:  # noqa: F811
        by_certificate = copy.deepcopy(box_1(caller("acme")))
        pad = by_certificate["elasticlab-ipsec:ipsec"]["pad"]["pad-entry"]
        pad[0] |= {"identity": "box-1.example", "certificate": "ike"}
        pad[1] = {"name": "gateway-acme", "identity": "gateway.example", "ca": "partner"}
        with without_charon(lab), pytest.raises(Refused, match=r"ike\.pem|partner"):
            boxes[0].configure(by_certificate)

    def test_a_connection_that_charon_refuses_later_keeps_nothing_else_from_being_made(
        self,
        lab: Lab,
        boxes: Boxes,  # noqa: F811
    ) -> None:
        """acme's proposal is nonsense, which only charon can tell: beta's tunnel comes up, and routes are mended."""
        boxes[1].configure(box_2(responder("acme"), responder("beta")))
        with without_charon(lab):
            boxes[0].configure(box_1(caller("acme", **{"ike-proposal": ["no-such-proposal"]}), caller("beta")))
        up(boxes, "beta")
        lab["host-2"].must_reach(FAR_HOST)
        blackhole = "blackhole 10.9.0.0/24"
        lab["box-1"].sh(f"ip route del {blackhole} vrf beta")
        wait_for("the route is back", lambda: blackhole in lab["box-1"].exec("ip", "route", "show", "vrf", "beta"), 10)
        assert "create ike acme" in boxes[0].log()
        assert not boxes[0].established("acme")
        boxes[0].configure(box_1(caller("acme"), caller("beta")))
        up(boxes, "acme")
        lab["host-1"].must_reach(FAR_HOST)

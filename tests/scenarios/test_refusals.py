"""What a box cannot do is refused by it, in its words, and then nothing of it is anywhere.

Somebody has made a link at the POP's console that has the name which the POP would give its own. It is his: it is not
taken from him.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, items, service
from tests.system.traces import differences, traces

pytestmark = pytest.mark.topology("scenarios")

POP, SERVER = "vmsr-1", "198.51.100.80"
NAME = "vxlan-1020"
"""Of the first bridged site."""


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1 and 2 are acme's."""
    shop.give("acme", "ucpe-1", "ucpe-2")
    return shop


def sites(shop: Shop) -> Json:
    """A routed site, to which the POP has nothing to say, and a bridged one."""
    bridged = {"name": "branch-2", "access": "bridged", "vlan": 20, "gateway": "10.2.0.1/24"}
    there = [shop.routed("ucpe-1", "10.1.0.1/24"), {"device": shop.serial("ucpe-2"), **bridged}]
    return service("site-to-site", sites=there)


@contextmanager
def others(lab: Lab) -> Iterator[str]:
    """Somebody's own VXLAN, with an address, in the way; how it was when he had made it."""
    made = "type vxlan id 77 remote 203.0.113.1 dstport 8472 dev wan"
    lab[POP].sh(f"ip link add {NAME} {made}; ip address add 10.77.0.1/24 dev {NAME}; ip link set {NAME} up")
    try:
        yield as_it_is(lab)
    finally:
        lab[POP].exec("ip", "link", "del", NAME)


def as_it_is(lab: Lab) -> str:
    shown = ("ip", "-d", "-o", "link", "show", NAME), ("ip", "-4", "-o", "address", "show", NAME)
    return "".join(lab[POP].exec(*command) for command in shown)


def test_an_order_that_the_pop_refuses_fails_in_its_words_and_leaves_nothing(lab: Lab, acme: Shop) -> None:
    """What another tenant orders meanwhile at the same POP does not wait for that. His link is as it was."""
    acme.give("globex", "ucpe-3")
    with others(lab) as before:
        clean = traces(lab, acme.far)
        order = acme.life.post(items(sites(acme)))
        with acme.bought("globex", service("site-to-internet", site=acme.routed("ucpe-3", "10.5.0.1/24"))):
            lab["host-3"].must_reach(SERVER)
            ended = acme.life.ended(order)
        assert ended["state"] == "failed"
        (said,) = [one["reason"] for one in ended["errorMessage"]]
        for words in (f"{POP}: ", f"link {NAME} is there already", "remove it, or give it another name"):
            assert words in said, said
        wait_for("nothing to be left", lambda: not differences(clean, traces(lab, acme.far)), 30)
        assert acme.life.services("reserved", "active") == []
        assert as_it_is(lab) == before, "it was changed"
    with acme.bought("acme", sites(acme)):
        lab["host-1"].must_reach("10.2.0.10")


def test_what_comes_into_the_way_later_keeps_nothing_else_from_being_mended(lab: Lab, acme: Shop) -> None:
    """The link of one site goes and somebody takes its name: the other site is looked after as before, and the one
    comes back when he leaves."""
    with acme.bought("acme", sites(acme)):
        lab["host-1"].must_reach("10.2.0.10")
        lab[POP].exec("ip", "link", "set", "gre-ucpe-1", "down")
        lab[POP].exec("ip", "link", "del", NAME)
        with others(lab) as before:
            lab[POP].exec("ip", "link", "del", "gre-ucpe-1")
            wait_for("the routed site to be mended", lambda: lab["host-1"].reaches("10.2.0.1"), 30)
            lab["host-1"].must_not_reach("10.2.0.10")
            assert as_it_is(lab) == before
        wait_for("the bridged site to be mended", lambda: lab["host-1"].reaches("10.2.0.10"), 30)

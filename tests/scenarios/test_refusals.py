"""What a box cannot do is refused by it, in its words, and then nothing of it is anywhere.

Somebody has made a link at the POP's console that has the name, or the VNI, which the POP would give its own. It is
his: it is not taken from him.
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
def others(lab: Lab, name: str = NAME, what: str = "id 77 dstport 8472") -> Iterator[str]:
    """Somebody's own VXLAN, with an address, in the way; how it was when he had made it."""
    made = f"type vxlan {what} remote 203.0.113.1 dev wan"
    lab[POP].sh(f"ip link add {name} {made}; ip address add 10.77.0.1/24 dev {name}; ip link set {name} up")
    try:
        yield as_it_is(lab, name)
    finally:
        lab[POP].exec("ip", "link", "del", name)


def as_it_is(lab: Lab, name: str = NAME) -> str:
    shown = ("ip", "-d", "-o", "link", "show", name), ("ip", "-4", "-o", "address", "show", name)
    return "".join(lab[POP].exec(*command) for command in shown)


IN_THE_WAY = [
    pytest.param(NAME, "id 77 dstport 8472", "is there already, and was not made by this configuration", id="name"),
    pytest.param("his", "id 1020 dstport 4789", "has VNI 1020", id="vni", marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize(("name", "what", "why"), IN_THE_WAY)
def test_an_order_that_the_pop_refuses_fails_in_its_words_and_leaves_nothing(
    lab: Lab, acme: Shop, name: str, what: str, why: str
) -> None:
    """What another tenant orders meanwhile at the same POP does not wait for that. His link is as it was."""
    acme.give("globex", "ucpe-3")
    with others(lab, name, what) as before:
        clean = traces(lab, acme.far)
        order = acme.life.post(items(sites(acme)))
        with acme.bought("globex", service("site-to-internet", site=acme.routed("ucpe-3", "10.5.0.1/24"))):
            lab["host-3"].must_reach(SERVER)
            ended = acme.life.ended(order)
        assert ended["state"] == "failed"
        (said,) = [one["reason"] for one in ended["errorMessage"]]
        for words in (f"{POP}: ", f"link {name} {why}", "remove it"):
            assert words in said, said
        wait_for("nothing to be left", lambda: not differences(clean, traces(lab, acme.far)), 30)
        assert acme.life.services("reserved", "active") == []
        assert as_it_is(lab, name) == before, "it was changed"


@pytest.mark.exhaustive
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

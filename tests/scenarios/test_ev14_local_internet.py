"""EV-14: Local Internet access.

"The uCPE accesses the Internet locally: it does NAT on its own WAN interface, and what goes there does not enter the
tunnel to the vMSR." (Elastic VPN, section 2.2.3, told shortly)

Which connections leave here is said by rules (prefix, DSCP, five-tuple); everything else stays in the tunnel.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.lab import Lab
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.hops import overheard

pytestmark = pytest.mark.topology("scenarios")

SERVER, OTHER = "198.51.100.80", "198.51.100.81"
BOX, POP = "192.0.2.10", "203.0.113.2"
HOST, GATEWAY = "10.5.0.10", "10.5.0.1"
ASKED = "tcp dst port 80"


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Box 3 is acme's; the Internet has a second server."""
    shop.give("acme", "ucpe-3")
    shop.lab["internet"].exec("ip", "address", "replace", f"{OTHER}/32", "dev", "lo")
    return shop


def with_local_internet(shop: Shop, default: str, *rules: Json) -> Json:
    """A routed site that leaves here as the rules say."""
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules, 1)]
    local: Json = {"default": default} | ({"rules": named} if named else {})
    place = {
        "name": "branch-3",
        "device": shop.serial("ucpe-3"),
        "access": "routed",
        "gateway": f"{GATEWAY}/24",
        "localInternet": local,
    }
    return service("site-to-internet", site=place)


def went(lab: Lab, server: str, *options: str) -> dict[str, bool]:
    """Which way the question and the answer of a page went, seen on both sides of the box and at the POP."""
    with (
        overheard(lab, "ucpe-3", "ipsec-vmsr-1") as tunnel,
        lab.capture("ucpe-3:wan") as wan,
        lab.capture("internet:pop") as pop,
    ):
        page = lab["host-3"].exec("curl", "-sS", "--max-time", "10", *options, f"http://{server}/")
        assert "Internet" in page
    assert wan.count("net 10.0.0.0/8") == 0, "a packet left untranslated"
    here = wan.count(f"src host {BOX} and dst host {server} and {ASKED}")
    there = pop.count(f"src host {POP} and dst host {server} and {ASKED}")
    inside = tunnel.count(f"ip proto gre and ip[40:4] = {_number(server)}")
    assert (here > 0) != (there > 0), "it went both ways, or none"
    assert (there > 0) == (inside > 0)
    return {"local": here > 0, "tunnel": inside > 0}


def _number(address: str) -> str:
    return "0x" + "".join(f"{int(part):02x}" for part in address.split("."))


LOCAL, TUNNEL = {"local": True, "tunnel": False}, {"local": False, "tunnel": True}
FIVE = {
    "source": f"{HOST}/32",
    "destination": f"{SERVER}/32",
    "protocol": "tcp",
    "sourcePort": "6000-6099",
    "destinationPort": "80",
    "action": "local",
}
SPLITS: dict[str, tuple[Json, Sequence[str], Sequence[str]]] = {
    "by prefix": ({"destination": f"{SERVER}/32", "action": "local"}, (SERVER,), (OTHER,)),
    "by DSCP": ({"dscp": 46, "action": "local"}, (SERVER, "--ip-tos", "184"), (SERVER,)),
    "by five-tuple": (FIVE, (SERVER, "--local-port", "6000-6099"), (SERVER, "--local-port", "6100-6199")),
}


def test_everything_leaves_here_and_nothing_enters_the_tunnel(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", with_local_internet(acme, "local")):
        assert went(lab, SERVER) == LOCAL
        assert went(lab, OTHER) == LOCAL


@pytest.mark.parametrize("split", SPLITS)
def test_what_a_rule_says_leaves_here_and_the_rest_stays_in_the_tunnel(lab: Lab, acme: Shop, split: str) -> None:
    rule, here, there = SPLITS[split]
    with acme.bought("acme", with_local_internet(acme, "pop", rule)):
        assert went(lab, *here) == LOCAL
        assert went(lab, *there) == TUNNEL


def test_the_first_rule_decides(lab: Lab, acme: Shop) -> None:
    rules = ({"destination": f"{OTHER}/32", "action": "pop"}, {"destination": "198.51.100.0/24", "action": "local"})
    with acme.bought("acme", with_local_internet(acme, "pop", *rules)):
        assert went(lab, SERVER) == LOCAL
        assert went(lab, OTHER) == TUNNEL


def test_nothing_comes_in_and_the_end_is_the_end(lab: Lab, acme: Shop) -> None:
    with acme.bought("acme", with_local_internet(acme, "local")):
        lab["host-3"].must_reach(SERVER)
        lab["internet"].exec("ip", "route", "replace", f"{HOST}/32", "via", BOX)
        try:
            with lab.capture("host-3:lan") as lan:
                lab["internet"].must_not_reach(HOST)
            assert lan.count("src host 192.0.2.9") == 0
        finally:
            lab["internet"].exec("ip", "route", "del", f"{HOST}/32")
    with lab.capture("ucpe-3:wan") as wan:
        lab["host-3"].must_not_reach(SERVER)
    assert wan.count(f"host {SERVER} or net 10.0.0.0/8") == 0

"""EV-08: L3 sites that reach each other directly where NAT allows it.

A site's box can be called when it has a public address. Of two sites one must be so: the other calls it, and their
packets never see the POP. Where both are behind NAT, and not both have a global address of IPv6, the plan says that the
POP relays.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab, assert_encrypted
from harness.lab.netconf import session
from harness.wait import wait_for
from tests.scenarios.buying import Json, Shop, service
from tests.scenarios.hops import overheard
from tests.scenarios.keys import ESP, REVOKED_WITHIN, ike_sas, readmit, revoke, tunnelled
from tests.scenarios.speaking import SECRET, cut, say
from tests.scenarios.stream import carried

pytestmark = pytest.mark.topology("scenarios")

HOST_1, HOST_3, HOST_4, HOST_5 = "10.1.0.10", "10.5.0.10", "10.6.0.10", "10.6.0.10"
POP6, PUBLIC6, PREFIX6 = "2001:db8:1::2", "2001:db8:3::2", "2001:db8:14::"
POP, NAT_1, PUBLIC = "203.0.113.2", "192.0.2.2", "192.0.2.10"
CALL_3 = "swanctl --list-sas --ike ucpe-3"


def directly(*sites: Json) -> Json:
    return service("site-to-site", sites=list(sites), directPaths=True)


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1 (behind NAT), 3 (public) and 4 (behind the same NAT) are acme's."""
    shop.give("acme", "ucpe-1", "ucpe-3", "ucpe-4")
    return shop


@pytest.fixture
def direct(lab: Lab, acme: Shop) -> Iterator[Shop]:
    """A site behind NAT and a public one, with a path of their own that is up."""
    one, three = acme.routed("ucpe-1", "10.1.0.1/24"), acme.routed("ucpe-3", "10.5.0.1/24")
    with acme.bought("acme", directly(one, three)):
        until_direct(lab)
        yield acme


def until_direct(lab: Lab, seconds: float = 30) -> None:
    for box, target, tunnel in (("ucpe-1", HOST_3, "gre-ucpe-3"), ("ucpe-3", HOST_1, "gre-ucpe-1")):

        def routes(box: str = box, target: str = target, tunnel: str = tunnel) -> bool:
            return by(lab, box, target) == tunnel

        wait_for(f"{box} routes to the other branch by {tunnel}", routes, seconds)


def by(lab: Lab, box: str = "ucpe-1", target: str = HOST_3) -> str:
    """The interface that a tenant's packets to a host leave a box by."""
    said = lab[box].run("ip", "route", "get", target, "vrf", "acme").stdout
    found = re.search(r" dev (\S+)", said)
    return found[1] if found else ""


def test_packets_travel_from_box_to_box_and_the_pop_sees_nothing(lab: Lab, direct: Shop) -> None:
    say(lab, "host-1", HOST_3)
    with (
        overheard(lab, "ucpe-1", "gre-ucpe-3") as path,
        overheard(lab, "vmsr-1", "gre-ucpe-1") as relay_1,
        overheard(lab, "vmsr-1", "gre-ucpe-3") as relay_3,
        assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]),
        lab.capture("internet:access-3", f"host {PUBLIC} and (udp port 4500 or esp)") as outside,
        lab.capture("host-3:lan") as far,
    ):
        say(lab, "host-1", HOST_3)
    for hop in (path, far):
        assert hop.count(f"src host {HOST_1} and dst host {HOST_3} and icmp[0] = 8") == 3, hop.frames()
        assert hop.count(f"dst host {HOST_1} and src host {HOST_3} and icmp[0] = 0") == 3, hop.frames()
    assert relay_1.count("icmp") == relay_3.count("icmp") == 0, "the POP has seen packets of a direct path"
    assert outside.count(f"src host {NAT_1} and udp port 4500") >= 3, outside.frames()


def test_the_box_behind_nat_calls(lab: Lab, direct: Shop) -> None:
    said = lab["ucpe-1"].sh(CALL_3)
    assert f"remote 'ucpe-3.elasticlab.example' @ {PUBLIC}" in said, said
    assert re.search(r"ucpe-3: #\d+, ESTABLISHED, IKEv2, [0-9a-f]+_i\*", said), f"ucpe-1 is not the initiator: {said}"


def test_while_the_path_is_down_the_pop_relays_and_it_comes_back(lab: Lab, direct: Shop) -> None:
    """The path is cut where it is: in the underlay, for the two boxes alone."""
    pairs = ((NAT_1, PUBLIC), (PUBLIC, NAT_1))
    with cut(lab, *(f"ip saddr {source} ip daddr {target}" for source, target in pairs)):
        wait_for("the POP relays", lambda: lab["host-1"].reaches(HOST_3), 30)
        wait_for("ucpe-1 routes by the POP", lambda: by(lab) == "gre-vmsr-1", 30)
        with overheard(lab, "vmsr-1", "gre-ucpe-1") as relay:
            say(lab, "host-1", HOST_3)
        assert relay.count("icmp") == 6
    until_direct(lab, 60)
    with overheard(lab, "vmsr-1", "gre-ucpe-1") as relay:
        say(lab, "host-1", HOST_3)
    assert relay.count("icmp") == 0


def test_the_path_of_a_revoked_box_ends_at_the_other_box_within_ten_seconds(lab: Lab, direct: Shop) -> None:
    """The other box ends it, not only the POP: no packet comes by it, and it cannot be had again."""
    say(lab, "host-1", HOST_3)
    others = ike_sas(lab, "ucpe-3", "vmsr-1")
    assert others
    try:
        seconds = revoke(
            lab,
            "ucpe-1",
            other=lambda: not tunnelled(lab, "ucpe-3", "ucpe-1"),
            pop=lambda: not tunnelled(lab, "vmsr-1", "ucpe-1"),
            itself=lambda: not tunnelled(lab, "ucpe-1"),
        )
        with lab.capture("internet:access-3", f"host {NAT_1}") as wire:
            carried(3.0)  # in which the box calls, again and again
            lab["host-1"].must_not_reach(HOST_3)
        assert not tunnelled(lab, "ucpe-3", "ucpe-1"), "it came back"
    finally:
        readmit(lab, "ucpe-1")
    assert max(seconds.values()) <= REVOKED_WITHIN, seconds
    assert wire.count(ESP) == 0, wire.frames(ESP)
    assert ike_sas(lab, "ucpe-3", "vmsr-1") == others, "the other box has lost its tunnel to the POP"
    until_direct(lab, 90)
    say(lab, "host-1", HOST_3)


@pytest.mark.exhaustive
def test_where_one_access_knows_ipv6_only_the_path_is_over_ipv6(lab: Lab, shop: Shop) -> None:
    """Box 5 has no IPv4 outside, box 3 has both; inside is IPv4."""
    shop.give("acme", "ucpe-3", "ucpe-5")
    ordered = directly(shop.routed("ucpe-3", "10.5.0.1/24"), shop.routed("ucpe-5", "10.6.0.1/24"))
    plan = shop.plan("acme", ordered)
    assert "relayed" not in str(plan), plan
    with shop.bought("acme", ordered):
        for box, target, peer in (("ucpe-3", HOST_5, "gre-ucpe-5"), ("ucpe-5", HOST_3, "gre-ucpe-3")):
            wait_for(f"{box} to route by {peer}", lambda b=box, t=target, p=peer: by(lab, b, t) == p, 30)
        with (
            assert_encrypted(lab, "ucpe-3:wan", secrets=[SECRET]),
            lab.capture("ucpe-5:wan") as outside,
            overheard(lab, "vmsr-1", "gre-ucpe-3") as relay,
        ):
            say(lab, "host-3", HOST_5)
        between = f"ip6 and esp and host {PUBLIC6} and not host {POP6}"
        assert outside.count(f"{between} and src host {PUBLIC6}") >= 3, outside.frames()
        assert outside.count(f"{between} and dst host {PUBLIC6}") >= 3, outside.frames()
        assert relay.count("icmp") == 0, "the POP has seen packets of a direct path"


def move(lab: Lab, network: str) -> None:
    """Host 4 is in this network, and in no other: its own is branch 1's, too."""
    change = "ip -4 address flush dev lan; ip address add {0}.10/24 dev lan; ip route replace default via {0}.1"
    lab["host-4"].sh(change.format(network))


WAN6 = """
<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces" xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">
  <interface><name>wan</name>
    <ipv6 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip" nc:operation="{how}"/>
    <slaac xmlns="urn:elasticlab:yang:elasticlab-interface" nc:operation="{how}"/>
  </interface>
</interfaces>
"""


@contextmanager
def six_behind_nat(lab: Lab) -> Iterator[None]:
    """The provider of boxes 1 and 4 brings IPv6, which its router advertises and does not translate."""
    router = "dnsmasq --conf-file=/dev/null --port=0 --bind-dynamic --interface=lan --enable-ra --pid-file=/run/ra.pid"
    lab["nat-1"].sh(f"ip address replace {PREFIX6}1/64 dev lan nodad; {router} --dhcp-range={PREFIX6},ra-only,64,1h")
    try:
        configure(lab, WAN6.format(how="merge"))
        yield
    finally:
        configure(lab, WAN6.format(how="remove"))
        lab["nat-1"].sh(f"kill $(cat /run/ra.pid); ip address del {PREFIX6}1/64 dev lan")


def configure(lab: Lab, edit: str) -> None:
    """What a person does at the consoles of boxes 1 and 4."""

    async def one(box: str) -> None:
        async with await session(lab, box) as client:
            await client.edit_config(edit, target="running")

    async def both() -> None:
        await asyncio.gather(one("ucpe-1"), one("ucpe-4"))

    asyncio.run(both())


def test_both_behind_nat_are_relayed_and_the_plan_says_so_until_they_meet_in_ipv6(lab: Lab, acme: Shop) -> None:
    """They meet when both have an address that is nobody else's, and for as long."""
    ordered = directly(acme.routed("ucpe-1", "10.1.0.1/24"), acme.routed("ucpe-4", "10.6.0.1/24"))
    plan = str(acme.plan("acme", ordered))
    assert "both behind NAT" in plan
    assert "ucpe-1 and ucpe-4 have no global IPv6 address" in plan
    assert "relayed by the POP" in plan
    with acme.bought("acme", ordered):
        move(lab, "10.6.0")
        try:
            with overheard(lab, "vmsr-1", "gre-ucpe-4") as relay:
                lab["host-1"].must_reach(HOST_4)
            assert relay.count("icmp") >= 2
            assert "gre-ucpe-4" not in lab["ucpe-1"].exec("ip", "-o", "link")
            with six_behind_nat(lab):
                wait_for("the direct path", lambda: by(lab, target=HOST_4) == "gre-ucpe-4", 30)
                wait_for("the way back", lambda: by(lab, "ucpe-4", HOST_1) == "gre-ucpe-1", 30)
                with (
                    assert_encrypted(lab, "ucpe-1:wan", secrets=[SECRET]),
                    lab.capture("ucpe-4:wan") as outside,
                    overheard(lab, "vmsr-1", "gre-ucpe-1") as relay,
                ):
                    say(lab, "host-1", HOST_4)
                assert outside.count(f"ip6 and esp and src net {PREFIX6}/64 and dst net {PREFIX6}/64") >= 6
                assert relay.count("icmp") == 0, "the POP has seen packets of a direct path"
            wait_for("the POP to relay", lambda: by(lab, target=HOST_4) == "gre-vmsr-1", 30)
            lab["host-1"].must_reach(HOST_4, 10)
        finally:
            move(lab, "10.1.0")


def test_without_it_nothing_is_direct_and_the_end_takes_both_ends(lab: Lab, acme: Shop) -> None:
    one, three = acme.routed("ucpe-1", "10.1.0.1/24"), acme.routed("ucpe-3", "10.5.0.1/24")
    with acme.bought("acme", service("site-to-site", sites=[one, three])):
        lab["host-1"].must_reach(HOST_3)
        assert "gre-ucpe-3" not in lab["ucpe-1"].exec("ip", "-o", "link")
    with acme.bought("acme", directly(one, three)):
        until_direct(lab)
    for box in ("ucpe-1", "ucpe-3"):
        assert "gre-" not in lab[box].exec("ip", "-o", "link")
        assert "ucpe-" not in lab[box].exec("swanctl", "--list-conns")

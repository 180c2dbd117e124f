"""A branch whose provider gives it IPv6 only, and changes what it gives: the tunnel moves, and is not made anew.

That is MOBIKE's (RFC 4555). The address is made of what routers say (SLAAC, RFC 4862), or leased (DHCPv6, RFC 9915).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.lab import Lab, assert_encrypted
from harness.lab.netconf import session
from harness.wait import wait_for
from tests.scenarios.buying import Shop, service
from tests.scenarios.flows import echoes
from tests.scenarios.speaking import SECRET, say
from tests.scenarios.underlay import associations

pytestmark = pytest.mark.topology("scenarios")

SERVER, POP6 = "198.51.100.80", "2001:db8:1::2"
OLD, OTHER = "2001:db8:6:", "2001:db8:66:"
"""Prefixes of the access."""
MOVED = 2.0
"""Seconds without an answer while a tunnel moves: the address, one exchange of IKE."""
PLUGGED = 5.0
"""The same when the cable was out: a router is heard, an address asked for, and neighbours whether it is theirs."""
FOLLOWS = 20.0
ANEW = 60.0
"""A POP that has given the box up meanwhile answers no more: charon asks it for 28 s, and begins anew."""

EDIT = """
<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces" xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">
  <interface><name>wan</name>
    <{old} xmlns="urn:elasticlab:yang:elasticlab-interface" nc:operation="delete"/>
    <{new} xmlns="urn:elasticlab:yang:elasticlab-interface"/>
  </interface>
</interfaces>
"""


@contextmanager
def bought(shop: Shop) -> Iterator[None]:
    """The branch has a way to the Internet, through its tunnel to the POP."""
    shop.give("acme", "ucpe-5")
    with shop.bought("acme", service("site-to-internet", site=shop.routed("ucpe-5", "10.6.0.1/24"))):
        shop.lab["host-5"].must_reach(SERVER)
        yield


def advertise(lab: Lab, *ranges: str) -> None:
    """The provider's router says this from now on, and what it said before no more."""
    own = "--conf-file=/dev/null --port=0 --bind-dynamic --interface=access-5 --enable-ra --pid-file=/run/ra.pid"
    router = lab["internet"]
    silence(lab)
    router.sh(f"rm -f /run/ra.leases; dnsmasq {own} --dhcp-leasefile=/run/ra.leases " + " ".join(ranges))


def silence(lab: Lab) -> None:
    """The provider's router says nothing more."""
    stop = "pid=$(cat /run/ra.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done; rm -f /run/ra.pid"
    lab["internet"].sh(f"[ ! -e /run/ra.pid ] || {{ {stop}; }}")


def made(prefix: str, lifetime: str = "1h") -> str:
    return f"--dhcp-range={prefix}:,ra-only,64,{lifetime}"


def leased(prefix: str) -> str:
    return f"--dhcp-range={prefix}:100,{prefix}:1ff,64,2m"


@contextmanager
def two_prefixes(lab: Lab) -> Iterator[None]:
    """The provider can renumber; afterwards all is as before."""
    router = lab["internet"]
    router.sh(f"ip address replace {OTHER}:1/64 dev access-5 nodad")
    try:
        yield
    finally:
        router.sh(f"ip address replace {OLD}:1/64 dev access-5 nodad")
        advertise(lab, made(OLD), made(OTHER, "deprecated"))
        until_the_pop_sees(lab, OLD, ANEW)
        router.sh(f"ip address del {OTHER}:1/64 dev access-5")
        advertise(lab, f"--dhcp-range={OLD}:,ra-only")
        # Two hours would be left of it (RFC 4862, section 5.5.3): no other test shall meet it.
        lab["ucpe-5"].sh(f"ip -6 address flush dev wan to {OTHER}:/64")


@contextmanager
def by_lease(lab: Lab) -> Iterator[None]:
    """What a person does at the box's console whose provider leases addresses: DHCPv6, for the length of a block."""

    async def edit(old: str, new: str) -> None:
        async with await session(lab, "ucpe-5") as client:
            await client.edit_config(EDIT.format(old=old, new=new), target="running")

    advertise(lab, leased(OLD))
    asyncio.run(edit("slaac", "dhcp6"))
    try:
        yield
    finally:
        asyncio.run(edit("dhcp6", "slaac"))


def own(lab: Lab) -> list[str]:
    """The box's addresses outside that are in use."""
    said = json.loads(lab["ucpe-5"].exec("ip", "-j", "-6", "address", "show", "dev", "wan", "scope", "global"))
    found = [one for entry in said for one in entry.get("addr_info", ()) if one]
    return [str(one["local"]) for one in found if not one.get("tentative") and not one.get("deprecated")]


def lease(lab: Lab) -> str:
    """The address that the provider has leased now; one of a lease before, which is not over, may be there first."""
    wait_for("the lease", lambda: [a.startswith(f"{OLD}:1") for a in own(lab)] == [True], FOLLOWS)
    return own(lab)[0]


def until_the_pop_sees(lab: Lab, prefix: str, seconds: float = FOLLOWS) -> None:
    wait_for(
        f"the POP to see the box at {prefix}",
        lambda: f"@ {prefix}" in lab["vmsr-1"].exec("swanctl", "--list-sas"),
        seconds,
    )


@pytest.mark.exhaustive
def test_a_prefix_is_renumbered_and_the_tunnel_moves_before_the_old_one_ends(lab: Lab, shop: Shop) -> None:
    """RFC 4192: the old prefix is good for a while, but not for what begins now (RFC 4862, section 5.5.4)."""
    with bought(shop):
        before = associations(lab, "ucpe-5")
        with two_prefixes(lab):
            with assert_encrypted(lab, "ucpe-5:wan", secrets=[SECRET]), echoes(lab["host-5"], SERVER) as seen:
                advertise(lab, made(OLD, "deprecated"), made(OTHER))
                until_the_pop_sees(lab, OTHER)
                lab["internet"].sh(f"ip address del {OLD}:1/64 dev access-5")
                say(lab, "host-5", SERVER)
            assert seen.outage <= MOVED, seen
            assert associations(lab, "ucpe-5") == before, "the security association was made anew"
        lab["host-5"].must_reach(SERVER)
        assert associations(lab, "ucpe-5") == before


def test_a_lease_carries_the_tunnel_and_another_one_moves_it(lab: Lab, shop: Shop) -> None:
    with bought(shop):
        before = associations(lab, "ucpe-5")
        with two_prefixes(lab), by_lease(lab):
            address = lease(lab)
            until_the_pop_sees(lab, address)
            with assert_encrypted(lab, "ucpe-5:wan", secrets=[SECRET]), lab.capture("ucpe-5:wan") as wire:
                say(lab, "host-5", SERVER)
            assert wire.count(f"ip6 and esp and src host {address} and dst host {POP6}") >= 3
            advertise(lab, leased(OTHER))
            with echoes(lab["host-5"], SERVER) as seen:
                with lab.link("ucpe-5:wan").cut():
                    pass
                until_the_pop_sees(lab, f"{OTHER}:1")
                lab["host-5"].must_reach(SERVER)
            assert seen.outage <= PLUGGED, seen
            assert own(lab) != [address]
            assert associations(lab, "ucpe-5") == before, "the security association was made anew"
        lab["host-5"].must_reach(SERVER)


@pytest.mark.exhaustive
def test_a_lease_is_renewed_and_without_its_server_the_address_goes_when_it_ends(lab: Lab, shop: Shop) -> None:
    """Of two minutes, the shortest that the server has: it is asked again after one."""
    with bought(shop), two_prefixes(lab), by_lease(lab):
        address = lease(lab)
        first = lab["ucpe-5"].sh("cat /run/element/wan.lease6")
        wait_for("it to be renewed", lambda: lab["ucpe-5"].sh("cat /run/element/wan.lease6") != first, 90)
        assert own(lab) == [address]
        silence(lab)
        wait_for("the address to go", lambda: not own(lab), 140)
        lab["host-5"].must_not_reach(SERVER)
        advertise(lab, leased(OLD))
        lab["host-5"].must_reach(SERVER, 60)

"""A branch's WAN address changes while its tunnel is up: the tunnel moves, and is not made anew (MOBIKE, RFC 4555)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from harness.lab import Lab, assert_encrypted
from harness.lab.netconf import session
from harness.wait import wait_for
from tests.scenarios.flows import echoes, tcp_session
from tests.scenarios.underlay import HOSTS, IN_CLEAR, associations, peers, until_all_is_well, until_the_controller_has

pytestmark = pytest.mark.topology("underlay")

MOVED = 2.0
"""Seconds without an answer while a tunnel moves: the address, the routes, one exchange of IKE."""
PLUGGED = 4.0
"""The same when the cable was out and another address had to be asked for by DHCP."""
FOLLOWS = 30.0
"""Until the controller has the new address: a box notices after 11 s that its session is dead, and calls."""

EDIT = """
<interfaces xmlns="urn:ietf:params:xml:ns:yang:ietf-interfaces" xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">
  <interface><name>wan</name><ipv4 xmlns="urn:ietf:params:xml:ns:yang:ietf-ip">
    <address nc:operation="delete"><ip>{old}</ip></address>
    <address><ip>{new}</ip><prefix-length>29</prefix-length></address>
  </ipv4></interface>
</interfaces>
"""


def renumber(lab: Lab, box: str, old: str, new: str) -> None:
    """What a person does whose provider has given the branch another address."""

    async def edit() -> None:
        async with await session(lab, box) as client:
            await client.edit_config(EDIT.format(old=old, new=new), target="running")

    asyncio.run(edit())


@contextlib.contextmanager
def renumbered(lab: Lab, box: str, old: str, new: str) -> Iterator[None]:
    """A box has another address for the length of a `with` block."""
    renumber(lab, box, old, new)
    try:
        yield
    finally:
        renumber(lab, box, new, old)


@contextlib.contextmanager
def other_leases(lab: Lab, router: str, address: str) -> Iterator[None]:
    """A router's DHCP server gives another address than before, and does not remember whom it gave what."""
    run, leases = "/etc/sv/dhcp/run", "/var/lib/misc/dnsmasq.leases"
    restart = f"sv -w 20 stop dhcp; rm -f {leases}; sv -w 20 start dhcp"
    lab[router].sh(f"sed -i '2i DHCP_RANGE={address},{address},255.255.255.0' {run}; {restart}")
    wait_for("the server", lambda: lab[router].exec("ss", "-Hlnu", "sport = :67"), 10)
    try:
        yield
    finally:
        lab[router].sh(f"sed -i 2d {run}; {restart}")


def test_a_static_address_is_changed_and_the_tunnel_moves(lab: Lab) -> None:
    before = associations(lab, "ucpe-3")
    with contextlib.ExitStack() as afterwards:
        with (
            assert_encrypted(lab, "vmsr-1:wan"),
            tcp_session(lab, "host-1", "host-3", HOSTS["host-3"], 6) as tcp,
            echoes(lab["host-3"], HOSTS["host-1"]) as seen,
        ):
            afterwards.enter_context(renumbered(lab, "ucpe-3", "192.0.2.10", "192.0.2.11"))
            wait_for("the POP to see it", lambda: peers(lab)["ucpe-3"][0] == "192.0.2.11", 10)
        assert seen.outage <= MOVED, seen
        assert tcp[0].standstill <= 2 * MOVED
        assert associations(lab, "ucpe-3") == before, "the security association was made anew"
        until_the_controller_has(lab, "ucpe-3", "192.0.2.11", FOLLOWS)
    lab["host-3"].must_reach(HOSTS["host-1"])
    assert associations(lab, "ucpe-3") == before
    until_the_controller_has(lab, "ucpe-3", "192.0.2.10", FOLLOWS)
    until_all_is_well(lab, 30)


def test_a_lease_gives_another_address_and_the_tunnel_moves(lab: Lab) -> None:
    """Somebody has changed the router's addresses, and plugs the box in again: it asks at once, not when half of its
    lease's time is over.
    """
    before = associations(lab, "ucpe-1")
    try:
        with other_leases(lab, "nat-1", "192.168.1.20"):
            with echoes(lab["host-1"], HOSTS["host-3"]) as seen, lab.capture("ucpe-1:wan") as capture:
                with lab.link("ucpe-1:wan").cut():
                    pass
                wait_for("the lease", lambda: "192.168.1.20/24" in lab["ucpe-1"].sh("ip -br addr show dev wan"), 10)
                lab["host-1"].must_reach(HOSTS["host-3"])
            assert seen.outage <= PLUGGED, seen
            assert capture.count("src host 192.168.1.20 and udp dst port 4500") > 0
            assert capture.frames(IN_CLEAR) == []
            assert associations(lab, "ucpe-1") == before, "the security association was made anew"
            until_the_controller_has(lab, "ucpe-1", "192.168.1.20", FOLLOWS)
    finally:
        with lab.link("ucpe-1:wan").cut():
            pass
        until_the_controller_has(lab, "ucpe-1", "192.168.1.10", FOLLOWS)
    until_all_is_well(lab, 30)

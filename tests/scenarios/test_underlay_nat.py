"""Branches behind NAT: two behind one, equal private addresses, NAT behind NAT, and NAT that forgets (EV-12, EV-13).

Branches 1 and 2 have a router of the same make each, which gives both boxes the address 192.168.1.10, and both routers
are behind the carrier's NAT: the POP sees one address with two ports.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from harness.lab import Lab, assert_encrypted
from harness.wait import wait_for
from tests.scenarios.flows import echoes, tcp_session
from tests.scenarios.underlay import (
    CARRIER,
    HOSTS,
    IN_CLEAR,
    POP,
    associations,
    devices,
    everything_passes,
    peers,
    until_all_is_well,
)

pytestmark = pytest.mark.topology("underlay")

FORGOTTEN = 3.0
"""Seconds that a branch which sends may be away for a NAT that reboots, beside the time that the reboot takes."""
UNASKED = 30.0
"""The same for a branch that says nothing: what opens the way again is its next sign of life (RFC 7296, 2.4), sent when
5 s have passed without a packet from the POP. When all its repetitions are lost (7.7 s) it connects anew."""
CALL_SECONDS = 30.0
"""Until a box without a session has noticed (11 s), called, and been believed."""


class TestTwoBehindOne:
    def test_they_cannot_be_told_apart_by_their_own_addresses(self, lab: Lab) -> None:
        own = {lab[box].sh("ip -o -4 address show dev wan | awk '{print $4}'") for box in ("ucpe-1", "ucpe-2")}
        assert own == {"192.168.1.10/24\n"}

    def test_the_pop_sees_one_address_with_a_port_each(self, lab: Lab) -> None:
        seen = peers(lab)
        assert seen["ucpe-1"][0] == seen["ucpe-2"][0] == CARRIER
        assert seen["ucpe-1"][1] != seen["ucpe-2"][1]

    def test_the_pop_keeps_a_policy_for_each(self, lab: Lab) -> None:
        """By WAN addresses there would be one policy for two sites (docs/why/tunnels.md)."""
        policies = lab["vmsr-1"].exec("ip", "xfrm", "policy", "list", "nosock", "dir", "out").splitlines()
        assert {line.split()[3] for line in policies if line.startswith("src 100.")} == {
            f"100.127.{number}.1/32" for number in (1, 2, 3)
        }

    def test_all_branches_reach_each_other_and_the_internet(self, lab: Lab) -> None:
        everything_passes(lab)

    @pytest.mark.parametrize(("number", "other"), [(1, 2), (2, 1)])
    def test_each_is_esp_in_udp_translated_twice(self, lab: Lab, number: int, other: int) -> None:
        with (
            assert_encrypted(lab, f"ucpe-{number}:wan") as own,
            assert_encrypted(lab, "vmsr-1:wan") as pop,
            lab.capture(f"carrier:access-{number}") as between,
            lab.capture("carrier:wan") as outside,
        ):
            lab[f"host-{number}"].must_reach(HOSTS[f"host-{other}"])
        port = peers(lab)[f"ucpe-{number}"][1]
        tunnel = f"dst host {POP} and udp dst port 4500"
        assert own.count(f"src host 192.168.1.10 and {tunnel}") > 0
        assert between.count(f"src host 100.64.{number}.2 and {tunnel}") > 0
        for capture in (outside, pop):
            assert capture.count(f"src host {CARRIER} and udp src port {port} and {tunnel}") > 0
            assert capture.count("net 192.168.0.0/16 or net 100.64.0.0/10") == 0

    def test_what_is_for_one_never_arrives_at_the_other(self, lab: Lab) -> None:
        with lab.capture("ucpe-1:wan") as first, lab.capture("ucpe-2:lan") as second:
            lab["vmsr-1"].exec("ping", "-n", "-c3", "-i0.1", "-I", "acme", "-s200", HOSTS["host-2"])
        assert second.count("vlan 20 and icmp") >= 3
        assert first.count("udp port 4500 and greater 240") == 0

    @pytest.mark.parametrize("box", ["ucpe-1", "vmsr-1"])
    def test_without_charon_nothing_of_the_overlay_leaves(self, lab: Lab, box: str) -> None:
        ends = ("ucpe-1:wan", "nat-1:wan", "carrier:wan", "vmsr-1:wan")
        lab[box].exec("sv", "down", "charon")
        try:
            wait_for("charon to be gone", lambda: not lab[box].run("pgrep", "-f", "ipsec/charon").ok, 10)
            lab[box].sh("ip xfrm state flush; ip xfrm policy flush")  # as if they had run out
            with contextlib.ExitStack() as stack:
                captures = [stack.enter_context(lab.capture(end)) for end in ends]
                lab["host-1"].must_not_reach(HOSTS["host-2"])
                lab["host-3"].must_not_reach(HOSTS["host-1"])
        finally:
            lab[box].exec("sv", "up", "charon")
        for capture in captures:
            assert capture.frames(IN_CLEAR) == [], f"in clear at {capture.end}"
        everything_passes(lab, 40)
        until_all_is_well(lab, 40)


class TestNatThatForgets:
    """A router that reboots has no mappings, and gives new ones: the branch speaks from another port than before."""

    @pytest.mark.parametrize("router", ["carrier", "nat-1"])
    def test_tunnels_and_sessions_go_on(self, lab: Lab, router: str) -> None:
        before, ports = associations(lab, "vmsr-1"), peers(lab)
        with tcp_session(lab, "host-1", "host-3", HOSTS["host-3"], 8) as session:
            with echoes(lab["host-1"], HOSTS["host-3"]) as seen:
                begun = time.monotonic()
                lab[router].power.cycle()
                away = time.monotonic() - begun + FORGOTTEN
                lab["host-1"].must_reach(HOSTS["host-3"], 30)
            assert seen.outage <= away, seen
        # Nothing of it is lost; what was on its way is sent again, after a pause that doubles (RFC 6298, section 5.5).
        assert session[0].standstill <= 3 * away
        if router == "carrier":
            for box in ("ucpe-1", "ucpe-2"):
                former = {None, ports[box]}
                wait_for(
                    f"{box} at another port", lambda box=box, former=former: peers(lab).get(box) not in former, UNASKED
                )
        after = associations(lab, "vmsr-1")
        for box in ("ucpe-1", "ucpe-3"):  # those that spoke all the time
            assert after[box] == before[box], f"the security associations of {box} were made anew"

    def test_a_branch_that_says_nothing_is_reached_again_and_the_controller_has_its_box_again(self, lab: Lab) -> None:
        before, tunnels, ports = devices(lab), associations(lab, "vmsr-1"), peers(lab)
        silent = ("ucpe-1", "ucpe-2")

        def moved() -> bool:
            now = peers(lab)
            return all(now.get(box) not in (None, ports[box]) for box in silent)

        lab["stack"].exec("sv", "pause", "controller")  # whose probes would be answered
        try:
            lab["carrier"].power.cycle()
            lab["host-3"].must_reach(HOSTS["host-2"], UNASKED)
            wait_for("the POP to see both at other ports", moved, UNASKED)
            assert associations(lab, "vmsr-1") == tunnels, "a tunnel was made anew"
        finally:
            lab["stack"].exec("sv", "cont", "controller")
        # The boxes' sessions are TCP to the orchestrator; the NAT that forgot them made them void.
        again = {"ucpe-1", "ucpe-2"}
        wait_for("new sessions", lambda: again == _newer(before, devices(lab)), CALL_SECONDS)
        until_all_is_well(lab, 20)


def _newer(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> set[str]:
    """The boxes that have another session than before."""
    return {box for box in now if now[box]["connected"] and now[box]["since"] != before[box]["since"]}

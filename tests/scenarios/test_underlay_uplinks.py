"""A branch with two uplinks: its tunnel is on the first while that leads to the POP, else on the second (EV-13).

The tunnel moves and is not made anew (RFC 4555). A pulled cable is seen at once; what is lost without a word, by
questions that nobody answers. The first uplink has the tunnel back when it has answered for a while.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.flows import echoes, tcp_session
from tests.scenarios.forgery import mac_of
from tests.scenarios.underlay import HOSTS, IN_CLEAR, POP, associations, devices, peers, until_all_is_well

pytestmark = pytest.mark.topology("underlay")

FIRST, SECOND = "192.0.2.10", "192.0.2.18"
# What a link says to itself (RFC 4861; RFC 3810).
NEIGHBOURS = "icmp6 and (ip6[40] >= 133 and ip6[40] <= 137) or (ip6 and ip6[6] = 0 and ip6[48] = 143)"
Fault = Callable[[Lab], contextlib.AbstractContextManager[None]]


def pulled(lab: Lab) -> contextlib.AbstractContextManager[None]:
    """The cable of the first uplink is out."""
    return lab.link("ucpe-3:wan").cut()


def silent(lab: Lab) -> contextlib.AbstractContextManager[None]:
    """The first uplink loses all in both directions, and its carrier stays."""
    return lab.link("ucpe-3:wan").impair(loss=100)


@contextlib.contextmanager
def one_way(lab: Lab) -> Iterator[None]:
    """What the branch sends arrives, and nothing comes back."""
    with lab.link("ucpe-3:wan").impair(toward="ucpe-3:wan", loss=100):
        yield


FAULTS: list[tuple[Fault, float]] = [(pulled, 2.0), (silent, 6.0), (one_way, 6.0)]
"""What happens to the first uplink, and for how many seconds a branch may be away for it."""
BACK = 15.0
"""Until the first uplink, which is sound again, has the tunnel; nothing is lost then."""
FOLLOWS = 30.0
"""Until a box has called its controller by the second uplink."""
ASKED_AGAIN = 5.0
"""What its former session was asked in vain, it is asked again after a second."""


def at(lab: Lab, address: str) -> bool:
    """Whether the POP has the tunnel there; that it is the same one is asked at the end."""
    there = peers(lab).get("ucpe-3")
    return there is not None and there[0] == address


def test_the_second_uplink_is_idle_while_the_first_leads_somewhere(lab: Lab) -> None:
    assert at(lab, FIRST)
    with lab.capture("ucpe-3:wan2") as second, lab.capture("ucpe-3:wan") as first:
        lab["host-3"].must_reach(HOSTS["host-1"])
    assert first.count(f"esp and dst host {POP}") > 0
    own = f"ether src {mac_of(lab, 'ucpe-3', 'wan2')}"
    assert second.count(f"{own} and not arp and not udp port 500 and not ({NEIGHBOURS})") == 0


@pytest.mark.parametrize(("fault", "bound"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_the_tunnel_moves_to_the_second_uplink_and_back(lab: Lab, fault: Fault, bound: float) -> None:
    before = associations(lab, "vmsr-1")
    with echoes(lab["host-3"], HOSTS["host-1"]) as away, lab.capture("ucpe-3:wan2") as second, fault(lab):
        wait_for("the tunnel at the second uplink", lambda: at(lab, SECOND), bound + 5)
        lab["host-3"].must_reach(HOSTS["host-1"], bound)
    assert away.outage <= bound, away
    assert second.count(f"src host {SECOND} and dst host {POP} and (esp or udp port 4500)") > 0
    assert second.frames(IN_CLEAR) == []
    with echoes(lab["host-3"], HOSTS["host-1"]) as back:
        wait_for("the tunnel at the first uplink", lambda: at(lab, FIRST), BACK)
    assert back.outage <= 1.0, back
    assert associations(lab, "vmsr-1") == before, "the security association was made anew"


def test_sessions_go_on_and_the_controller_has_its_box_by_the_second_uplink(lab: Lab) -> None:
    with (
        tcp_session(lab, "host-1", "host-3", HOSTS["host-3"], 10) as session,
        silent(lab),
        lab.capture("stack:wan") as wan,
    ):
        wait_for("the tunnel at the second uplink", lambda: at(lab, SECOND), 15)
        wait_for("a session by the second uplink", lambda: _manages(lab, SECOND), FOLLOWS)
        wait_for("it to be managed", lambda: devices(lab)["ucpe-3"]["sync"] in {"in-sync", "pending"}, ASKED_AGAIN)
    assert session[0].standstill <= 2 * FAULTS[1][1]
    assert wan.count(f"src host {SECOND} and tcp dst port 4335") > 0
    wait_for("the tunnel at the first uplink", lambda: at(lab, FIRST), BACK)
    until_all_is_well(lab, FOLLOWS)


def _manages(lab: Lab, source: str) -> bool:
    """The controller has the box, which has called from that address."""
    calls = lab["stack"].exec("ss", "-Htn", "state", "established", "sport = :4335")
    return bool(devices(lab)["ucpe-3"]["connected"]) and f"{source}:" in calls


def test_both_uplinks_gone_and_one_back_is_a_branch_that_is_back(lab: Lab) -> None:
    with lab.link("ucpe-3:wan").cut():
        with lab.link("ucpe-3:wan2").cut():
            lab["host-3"].must_not_reach(HOSTS["host-1"])
        lab["host-3"].must_reach(HOSTS["host-1"], 20)
    wait_for("the tunnel at the first uplink", lambda: at(lab, FIRST), BACK)
    until_all_is_well(lab, FOLLOWS)

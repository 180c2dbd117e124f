"""Things die, and what they did goes on or comes back without a person (EV-08, LAB-05)."""

from __future__ import annotations

import re

import pytest

from harness.faults import FaultError, RekeyStorm
from harness.lab import Lab
from harness.wait import wait_for

pytestmark = pytest.mark.topology("demo")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
BOXES = ["ucpe-1", "ucpe-2", "vmsr-1"]
HEAL_SECONDS = 30


def both_ways(lab: Lab, seconds: float = HEAL_SECONDS) -> None:
    lab["host-1"].must_reach(HOST_2, seconds)
    lab["host-2"].must_reach(HOST_1, seconds)


def process(lab: Lab, box: str, pattern: str) -> str:
    return lab[box].exec("pgrep", "-o", "-f", pattern).strip()


@pytest.mark.parametrize("box", BOXES)
def test_a_killed_charon_comes_back_with_its_tunnels(lab: Lab, box: str) -> None:
    before = process(lab, box, "libexec/ipsec/charon|lib/ipsec/charon")
    lab[box].exec("kill", "-KILL", before)
    wait_for(
        "another charon",
        lambda: lab[box].run("pgrep", "-o", "-f", "ipsec/charon").stdout.strip() not in ("", before),
        10,
    )
    both_ways(lab)


@pytest.mark.parametrize("box", BOXES)
def test_a_killed_element_cuts_nothing_and_converges(lab: Lab, box: str) -> None:
    """The data plane goes on without its configurator, and its restart leaves tunnels as they are."""
    before = process(lab, box, "python.* -m element")
    associations = lab[box].exec("ip", "xfrm", "state", "list", "nokeys")
    rules = lab[box].exec("nft", "list", "ruleset")
    lab[box].exec("kill", "-KILL", before)
    for _ in range(5):
        assert lab["host-1"].reaches(HOST_2), "the data plane depends on its configurator"
    lab.wait_until(box, "tcp:830", HEAL_SECONDS)
    assert lab["host-1"].reaches(HOST_2)
    spis = {line for line in associations.splitlines() if "spi" in line}
    now = {line for line in lab[box].exec("ip", "xfrm", "state", "list", "nokeys").splitlines() if "spi" in line}
    assert spis & now == spis, "the restart cut associations that were up"
    assert lab[box].exec("nft", "list", "ruleset").count("chain") == rules.count("chain")


@pytest.mark.parametrize("box", BOXES)
def test_a_box_heals_after_a_power_cycle(lab: Lab, box: str) -> None:
    lab[box].power.cycle()
    both_ways(lab, 40)


def test_the_nat_router_heals_after_a_power_cycle(lab: Lab) -> None:
    """Its translations are lost, so the branch's port outside changes."""
    lab["nat-1"].power.cycle()
    both_ways(lab, 40)


def test_a_cut_wan_is_healed_when_it_is_plugged_in_again(lab: Lab) -> None:
    with lab.link("ucpe-2:wan").cut():
        lab["host-2"].must_not_reach(HOST_1)
    both_ways(lab)


def test_loss_on_the_wan_is_loss_and_not_an_outage(lab: Lab) -> None:
    with lab.link("ucpe-1:wan").impair(loss=20):
        answered = sum(lab["host-1"].reaches(HOST_2, within=0.3) for _ in range(20))
    assert 2 <= answered < 20
    both_ways(lab)


def test_delay_on_the_wan_is_seen_by_the_hosts(lab: Lab) -> None:
    def round_trip() -> float:
        said = lab["host-2"].exec("ping", "-n", "-q", "-c20", "-i0.05", HOST_1)
        return float(said.rsplit("= ", 1)[1].split("/")[0])

    before = round_trip()
    with lab.link("ucpe-2:wan").impair(delay=50):
        delayed = round_trip()
    assert delayed >= 100, "the delay is of both ways"
    assert delayed - before <= 110
    assert round_trip() < 20


def initiators(lab: Lab) -> set[str]:
    """The initiator's SPI of each IKE SA of the POP: another one after every rekeying."""
    return set(re.findall(r", ([0-9a-f]{16})_i", lab["vmsr-1"].exec("swanctl", "--list-sas")))


def test_a_rekey_storm_renews_all_keys_and_loses_no_packet(lab: Lab) -> None:
    both_ways(lab)
    before = initiators(lab)
    assert len(before) >= 2
    with lab.faults("rekey-storm", on="vmsr-1"):
        said = lab["host-1"].exec("ping", "-n", "-q", "-c60", "-i0.05", "-W2", HOST_2)
        wait_for("every IKE SA to be another one", lambda: not initiators(lab) & before, 20)
    assert "60 received" in said
    both_ways(lab)


def test_a_rekey_storm_needs_a_charon(lab: Lab) -> None:
    with pytest.raises(FaultError, match="no charon answers in node host-1"), lab.fault(RekeyStorm("host-1")):
        pass

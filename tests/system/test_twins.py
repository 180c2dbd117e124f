"""Two sites with the same private WAN address behind two NAT routers are two sites (shared/wire: selectors)."""

from __future__ import annotations

import pytest

from harness.lab import Lab, assert_encrypted

pytestmark = pytest.mark.topology("twins")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
POP = "203.0.113.2"


def test_the_boxes_cannot_be_told_apart_by_their_wan_address(lab: Lab) -> None:
    addresses = {lab[box].sh("ip -o -4 address show dev wan | awk '{print $4}'") for box in ("ucpe-1", "ucpe-2")}
    assert len(addresses) == 1


def test_both_reach_each_other_and_the_internet(lab: Lab) -> None:
    lab["host-1"].must_reach(HOST_2)
    lab["host-2"].must_reach(HOST_1)
    lab["host-1"].must_reach("198.51.100.80")
    lab["host-2"].must_reach("198.51.100.80")


def test_the_pop_keeps_a_policy_for_each(lab: Lab) -> None:
    out = [
        line for line in lab["vmsr-1"].exec("ip", "xfrm", "policy", "list", "nosock").splitlines() if "dst 100." in line
    ]
    assert {line.split()[3] for line in out} >= {"100.127.1.1/32", "100.127.2.1/32"}


@pytest.mark.parametrize(("box", "host", "other"), [("ucpe-1", "host-1", HOST_2), ("ucpe-2", "host-2", HOST_1)])
def test_each_is_esp_in_udp_from_its_own_router(lab: Lab, box: str, host: str, other: str) -> None:
    outside = {"ucpe-1": "192.0.2.2", "ucpe-2": "192.0.2.6"}[box]
    with assert_encrypted(lab, f"{box}:wan"), lab.capture("vmsr-1:wan") as pop:
        lab[host].must_reach(other)
    assert pop.count(f"udp port 4500 and src host {outside} and dst host {POP}") > 0
    assert pop.count("host 192.168.1.10") == 0


def test_what_is_for_one_site_never_arrives_at_the_other(lab: Lab) -> None:
    with lab.capture("ucpe-1:wan") as first, lab.capture("ucpe-2:lan") as second:
        lab["vmsr-1"].exec("ping", "-n", "-c3", "-i0.1", "-I", "acme", "-p", "5ec2e75ec2e75ec2", HOST_2)
    assert second.count("vlan 20 and icmp") >= 3
    assert first.count("udp port 4500 and greater 120") == 0

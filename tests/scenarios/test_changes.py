"""What is bought is changed while it runs (TMF641, action `modify`): a policy, a site more, a site less."""

from __future__ import annotations

import pytest

from harness.lab import Lab
from harness.wait import wait_for
from tests.scenarios.buying import Shop, service
from tests.scenarios.flows import echoes
from tests.scenarios.forgery import mac_of

pytestmark = pytest.mark.topology("scenarios")

SERVER = "198.51.100.80"
POP, NAT_1 = "203.0.113.2", "192.0.2.2"
HOST_2A, HOST_3 = "10.2.0.10", "10.5.0.10"


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Boxes 1 to 3 are acme's."""
    shop.give("acme", "ucpe-1", "ucpe-2", "ucpe-3")
    return shop


def leaves_as(lab: Lab, address: str) -> None:
    """What host-1 asks the Internet comes there at this end, with its source, and at no other."""
    asked = f"icmp[0] = 8 and dst host {SERVER}"
    with lab.capture("internet:pop") as pop, lab.capture("internet:access-1") as access:
        lab["host-1"].exec("ping", "-n", "-c3", "-i0.05", "-W2", SERVER)
    seen = {POP: pop.count(f"src host {POP} and {asked}"), NAT_1: access.count(f"src host {NAT_1} and {asked}")}
    assert seen == {POP: 0, NAT_1: 0} | {address: 3}


def test_a_policy_of_a_running_service_changes_where_packets_leave(lab: Lab, acme: Shop) -> None:
    site = acme.routed("ucpe-1", "10.1.0.1/24")
    with acme.bought("acme", service("site-to-internet", site=site)) as (bought,):
        leaves_as(lab, POP)
        here = {"name": "here", "destination": f"{SERVER}/32", "action": "local"}
        acme.change("acme", bought, site={**site, "localInternet": {"default": "pop", "rules": [here]}})
        leaves_as(lab, NAT_1)
        acme.change("acme", bought, site=site)
        leaves_as(lab, POP)


def test_a_site_joins_and_leaves_and_its_neighbours_lose_nothing(lab: Lab, acme: Shop) -> None:
    sites = [acme.routed("ucpe-1", "10.1.0.1/24"), acme.routed("ucpe-3", "10.5.0.1/24")]
    third = {"name": "vlan-20", "device": acme.serial("ucpe-2"), "access": "bridged", "vlan": 20,
             "gateway": "10.2.0.1/24"}  # fmt: skip
    with acme.bought("acme", service("site-to-site", sites=sites)) as (bought,):
        host = lab["host-1"]
        host.must_reach(HOST_3)
        host.must_not_reach(HOST_2A)
        with echoes(host, HOST_3, 0.02) as seen:
            lab["host-2a"].exec("ip", "neigh", "flush", "all")
            acme.change("acme", bought, sites=[{"name": "branch-1"}, {"name": "branch-3"}, third])
            host.must_reach(HOST_2A)
            acme.change("acme", bought, sites=[{"name": "branch-1"}, {"name": "branch-3"}])
            host.must_not_reach(HOST_2A)
        assert seen.steady, seen
        assert seen.lost <= 1, seen  # the last may be on its way


@pytest.mark.exhaustive
def test_a_gateway_moves_to_the_pop_and_back_and_stations_follow_at_once(lab: Lab, acme: Shop) -> None:
    """What was a routed site is a bridged one: its gateway has the same address and another MAC, and is behind the
    tunnel. The station would send to the former one for half a minute; it is told, and asks nobody."""
    site, host = acme.routed("ucpe-3", "10.5.0.1/24"), lab["host-3"]
    known = ["02:00:00:00:00:01"]  # of somebody before
    host.exec("ip", "neigh", "replace", "10.5.0.1", "lladdr", known[0], "dev", "lan", "nud", "stale")
    with lab.capture("host-3:lan") as heard:
        for access in ("routed", "bridged", "routed"):
            with acme.bought("acme", service("site-to-internet", site={**site, "access": access})):
                wait_for("the station to know another gateway", lambda: gateway(lab) not in ["nowhere", known[-1]], 15)
                host.must_reach(SERVER, 10)
                known.append(gateway(lab))
    box = mac_of(lab, "ucpe-3", "lan")
    assert [one if one == box else one[:6] for one in known[1:]] == [box, "02:e1:", box]
    asked = f"arp[6:2] = 1 and src host {HOST_3} and ether dst ff:ff:ff:ff:ff:ff"
    assert heard.count(asked) == 0, heard.frames(asked)


def test_stations_of_a_site_that_comes_back_need_not_learn_another_gateway(lab: Lab, acme: Shop) -> None:
    """It has another VNI, for somebody took the former, and the gateway that they remember."""
    site = {**acme.routed("ucpe-3", "10.5.0.1/24"), "access": "bridged"}
    other = {"name": "vlan-20", "device": acme.serial("ucpe-2"), "access": "bridged", "vlan": 20,
             "gateway": "10.2.0.1/24"}  # fmt: skip
    seen = []
    with acme.bought("acme", service("site-to-internet", site=site)):
        lab["host-3"].must_reach(SERVER, 10)
        seen.append((vni(lab), gateway(lab)))
    with (
        acme.bought("acme", service("site-to-internet", site=other)),
        acme.bought("acme", service("site-to-internet", site=site)),
    ):
        lab["host-3"].must_reach(SERVER, 10)
        seen.append((vni(lab), gateway(lab)))
    assert seen[0][0] != seen[1][0], seen
    assert seen[0][1] == seen[1][1], seen


def vni(lab: Lab) -> str:
    """Of box 3's only bridged site."""
    return lab["ucpe-3"].exec("ip", "-d", "-o", "link", "show", "type", "vxlan").split("vxlan id ")[1].split()[0]


def gateway(lab: Lab) -> str:
    """Where host 3 believes its gateway to be; it has an entry from the beginning."""
    line = lab["host-3"].exec("ip", "neigh", "show", "10.5.0.1", "dev", "lan")
    return line.split("lladdr ")[1].split()[0] if "lladdr" in line else "nowhere"

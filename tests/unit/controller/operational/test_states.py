"""The state of a site is its own: by its flow of the connection, by its line, whatever becomes of its neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from controller.intent import Network, allocate, join, pops, read
from controller.operational import tunnels
from controller.operational.clouds import judge as judge_cloud
from controller.operational.sites import Evidence, Judged, Probe, judge
from controller.operational.tunnels import Tunnel
from controller.operational.watch import Timing, pause
from controller.southbound.blame import Refusal
from controller.southbound.status import Status, View
from lxml import etree
from yangkit import Tree

from tests.unit.controller.intent import orders

CONNECTED = Status(connected=True, sync="in-sync")


def network(order: Tree) -> Network:
    intent = read(order)
    return join(intent, orders.DEVICES, allocate(intent, pops(orders.DEVICES), {}))


def judged(order: Tree, site: str, tunnel: Tunnel | None, probe: float | None = 1.0, probed: bool = True) -> Judged:
    """The state of a site that was up, when the POP says this of its box's tunnel."""
    attachment = network(order).attachments[site]
    evidence = Evidence(
        View(network(order)),
        {"ucpe-1": CONNECTED, "ucpe-2": CONNECTED, "vmsr-1": CONNECTED},
        {"vmsr-1": {} if tunnel is None else {attachment.branch.label: tunnel}},
        {site: Probe(0.0, probe)} if probed else {},
        {site: 0.0},
        {"ucpe-1": 0.0, "ucpe-2": 0.0, "vmsr-1": 0.0},
        100.0,
    )
    return judge(site, "up", evidence)


@pytest.mark.parametrize(
    ("devices", "took", "is_pop", "seconds"),
    [
        (5, 0.0, True, 0.0),
        (5, 0.02, True, 0.08),
        (1004, 0.5, True, 2.0),
        (5, 60.0, True, 10.0),
        (1004, 60.0, True, 1004 / 50),
        (5, 0.0, False, 10.0),
        (1004, 0.0, False, 1004 / 50),
    ],
)
def test_how_often_a_device_is_looked_at(devices: int, took: float, is_pop: bool, seconds: float) -> None:
    """A POP with many tunnels has other work than to tell them."""
    assert pause(Timing(), devices, took, is_pop=is_pop) == seconds


class TestByFlow:
    """A box with a plain site and a bridged one: two flows."""

    @pytest.mark.parametrize(
        ("site", "flows", "state"),
        [
            ("acme.plain", {"overlay", "site-plain_2"}, "up"),
            ("acme.lan2", {"overlay", "site-plain_2"}, "up"),
            ("acme.plain", {"overlay"}, "down"),
            ("acme.lan2", {"overlay"}, "up"),
            ("acme.plain", {"site-plain_2"}, "up"),
            ("acme.lan2", {"site-plain_2"}, "down"),
        ],
    )
    def test_each_has_its_own(self, site: str, flows: set[str], state: str) -> None:
        tunnel = Tunnel("ucpe-1", established=len(flows) == 2, flows=frozenset(flows))
        assert judged(orders.plain_to_internet(), site, tunnel).state == state

    def test_a_pop_that_does_not_tell_flows_tells_all_of_them(self) -> None:
        assert judged(orders.plain_to_internet(), "acme.plain", Tunnel("ucpe-1", True)).state == "up"

    def test_without_a_connection_both_are_down(self) -> None:
        for site in ("acme.plain", "acme.lan2"):
            found = judged(orders.plain_to_internet(), site, None)
            assert (found.state, found.reason) == ("down", "the tunnel between ucpe-1 and vmsr-1 is not established")


class TestByLine:
    """A box with a site on the line and another in the tunnel."""

    def test_the_probe_over_the_line_decides(self) -> None:
        order = orders.private_line()
        assert judged(order, "line", None) == Judged("up", None, 1.0)
        silent = judged(order, "line", Tunnel("ucpe-1", True), probe=None)
        assert (silent.state, silent.reason) == ("down", "ucpe-1 does not answer through its private line with vmsr-1")

    def test_its_neighbour_needs_the_tunnel(self) -> None:
        assert judged(orders.private_line(), "tunnel", None).state == "down"
        assert judged(orders.private_line(), "tunnel", Tunnel("ucpe-1", True)).state == "up"

    def test_not_probed_yet_is_not_up(self) -> None:
        found = judged(orders.private_line(), "alone", None, probed=False)
        assert found.reason == "the private line between ucpe-2 and vmsr-1 is configured and not probed yet"


class TestWhatOthersHaveToldThePop:
    """A POP is everybody's: what it refuses may be anybody's, and stays between it and the operator."""

    TEXT = "invalid-value at /pad/pad-entry[name='cloud_7']: two entries have the same identity"

    def reason(self, site: str, refusing: str, view: View) -> Judged:
        status = dict.fromkeys(("ucpe-1", "ucpe-2", "vmsr-1"), CONNECTED)
        status[refusing] = Status(connected=True, sync="failed", problem=self.TEXT, failures=9)
        return judge(site, "up", Evidence(view, status, {}, {}, {}, {}, 0.0))

    @pytest.mark.parametrize("state", ["stale", "withheld"])
    def test_is_not_told_to_a_site(self, state: str) -> None:
        joined = network(orders.several_sites())
        waiting = {"stale": frozenset({"f-far"})} if state == "stale" else {"withheld": {"f-far": "vmsr-1"}}
        found = self.reason("f-far", "vmsr-1", View(joined, **waiting))
        assert found == Judged("failed", "POP router vmsr-1 has not taken its configuration")

    @pytest.mark.parametrize(("times", "state"), [(1, "configuring"), (2, "configuring"), (3, "failed")])
    def test_is_told_to_a_site_whose_alone_it_is(self, times: int, state: str) -> None:
        joined = network(orders.several_sites())
        refusal = Refusal(joined.attachments["f-far"], "vmsr-1", self.TEXT, times, 0.0)
        view = View(joined, stale=frozenset({"f-far"}), refused={"f-far": refusal})
        found = self.reason("f-far", "vmsr-1", view)
        assert (found.state, found.reason, found.refused_by) == (state, f"vmsr-1: {self.TEXT}", "vmsr-1")

    def test_of_its_own_box_a_site_hears_all(self) -> None:
        joined = network(orders.several_sites())
        found = self.reason("f-far", "ucpe-2", View(joined, stale=frozenset({"f-far"})))
        assert found == Judged("failed", f"ucpe-2: {self.TEXT}")

    def test_is_not_told_to_a_cloud(self) -> None:
        order = orders.plain_between()
        gateway = {"address": "198.51.100.9", "identity": "gateway.cloud.example", "remote-prefix": ["172.16.0.0/16"]}
        access = {"cloud-identifier": "vpc", "elasticlab-access:gateway": gateway}
        (service,) = order["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"]
        service["cloud-accesses"] = {"cloud-access": [access]}
        joined = network(order)
        (end,) = joined.clouds.values()
        status = {"vmsr-1": Status(connected=True, sync="failed", problem=self.TEXT)}
        evidence = Evidence(View(joined, stale=frozenset({end.key})), status, {}, {}, {}, {}, 0.0)
        found = judge_cloud(end.cloud, "up", evidence)
        assert found == Judged("configuring", "POP router vmsr-1 has not taken its configuration")


class Device:
    """A POP that answers one question."""

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, ""

    async def get(self, text: str, deadline: float) -> etree._Element:
        return etree.fromstring(self.answer)

    async def rpc(self, body: str, deadline: float) -> etree._Element:
        self.asked = body
        return etree.fromstring(self.answer)


def state(established: bool, **children: str) -> str:
    """What a device says of a connection: its child SAs and their states."""
    sas = "".join(
        f"<child-sa><spd-entry>{name.replace('_', '-')}</spd-entry><child-state>{state}</child-state></child-sa>"
        for name, state in children.items()
    )
    return (
        '<data><ipsec xmlns="urn:elasticlab:yang:elasticlab-ipsec"><conn-entry><name>ucpe-1</name>'
        f"<state><established>{str(established).lower()}</established>{sas}</state></conn-entry></ipsec></data>"
    )


async def test_flows_are_read_whether_or_not_all_are_there() -> None:
    for established in (True, False):
        client: Any = Device(state(established, overlay="INSTALLED", site_one="CREATED", site_two="REKEYING"))
        tunnel = (await tunnels.read(client))["ucpe-1"]
        assert (tunnel.established, tunnel.flows) == (established, {"overlay", "site-two"})
        assert tunnel.carries("site-one") == established


@pytest.mark.parametrize(
    ("site", "address", "interface", "source"),
    [
        ("line", "100.126.2.1", "line", "100.126.0.1"),
        ("tunnel", "100.127.2.1", "ipsec-ucpe-1", "100.127.0.1"),
    ],
)
async def test_a_site_is_probed_the_way_its_packets_go(site: str, address: str, interface: str, source: str) -> None:
    client: Any = Device('<reply xmlns="urn:elasticlab:yang:elasticlab-element"><rtt-avg>2.5</rtt-avg></reply>')
    assert await tunnels.probe(client, tunnels.way(network(orders.private_line()).attachments[site])) == 2.5
    for leaf, value in (("address", address), ("source-interface", interface), ("source-address", source)):
        assert f"<{leaf}>{value}</{leaf}>" in client.asked

"""LAB-06: features broken one by one, behind the stack's back; what the report says must name the cause.

Each is broken on the demo, some assertion of other tests fails on it, and what the report shows first (what is
not as it was) is read for the cause, as somebody would who was not there. Where the boxes would mend it themselves,
their configurator is stopped first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from harness.evidence import difference
from harness.evidence.difference import Baseline
from harness.evidence.witness import Witness
from harness.faults import Cut, Fault, Loss, Outage, Pause, Power, Stop
from harness.lab import CommandError, Lab
from harness.lab.tunnels import Silent, tunnels
from harness.orchestrator import OrchestratorError, ordering
from harness.orchestrator.client import Orchestrator
from harness.wait import DeadlineError, wait_for
from tests.system.lifecycle import HOSTS, SERVER, Life
from tests.system.traces import BOXES

pytestmark = pytest.mark.topology("demo")

HEAL_SECONDS = 60
Broken = Callable[[Lab], AbstractContextManager[object]]


# -- assertions, as other tests make them ----------------------------------------------------------------------------


def branches_talk(lab: Lab) -> None:
    lab["host-1"].must_reach(HOSTS["host-2"], 3)


def the_first_reaches_the_internet(lab: Lab) -> None:
    lab["host-1"].must_reach(SERVER, 3)


def the_second_reaches_the_internet(lab: Lab) -> None:
    lab["host-2"].must_reach(SERVER, 3)


def a_page_is_served(lab: Lab) -> None:
    assert "Internet" in lab["host-2"].exec("curl", "-sS", "-m3", f"http://{SERVER}/")


def large_packets_pass(lab: Lab) -> None:
    lab["host-2"].exec("ping", "-n", "-c2", "-i0.2", "-W1", "-s1200", "-Mdo", SERVER)


def every_box_tells_its_tunnels(lab: Lab) -> None:
    assert not [box for box in tunnels(lab, BOXES) if isinstance(box, Silent)]


def the_orchestrator_says_that_all_is_up(lab: Lab) -> None:
    assert {site["state"] for site in ordering.sites(Orchestrator.of(lab))} == {"up"}


# -- how things are broken -------------------------------------------------------------------------------------------


def by_hand(node: str, how: str, back: str) -> Broken:
    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        try:
            lab[node].sh(how)
            yield
        finally:
            lab[node].sh(back)

    return broken


def unmended(node: str, how: str) -> Broken:
    """With the configurator of the box stopped; when it is back it makes everything right."""
    return by_hand(node, f"sv -w 15 down element; {how}", "sv up element")


def by_fault(fault: Fault) -> Broken:
    return lambda lab: lab.fault(fault)


def vlan(number: int) -> str:
    """As the topology sets up host-2, with this VLAN."""
    return (
        f"ip link del lan.20; ip link add link lan name lan.20 type vlan id {number}; ip link set lan.20 up; "
        "ip address replace 10.2.0.10/24 dev lan.20; ip route replace default via 10.2.0.1"
    )


@dataclass(frozen=True)
class Break:
    """A feature, how it is broken, the assertion that sees it, and what the report must say (a regular expression)."""

    feature: str
    broken: Broken
    seen: Callable[[Lab], None]
    cause: str


VXLAN = "vxlan=$(ip -o link show type vxlan | sed -n '1s/^[0-9]*: \\([^:@]*\\)[:@].*/\\1/p')"
DROP_ALL = "nft add table ip broken; nft 'add chain ip broken drops { type filter hook HOOK priority 0; policy drop; }'"
WHOLE = "nft delete table ip broken"
ADDRESS_OF_SITE_2 = "192.0.2.6"

BREAKS = [
    Break(
        "key exchange", by_fault(Stop(("ucpe-1",), "charon")), branches_talk, r"ucpe-1 services\n.*\n\+ down: charon"
    ),
    Break(
        "way to the provider",
        by_hand("nat-1", "ip route replace blackhole default", "ip route replace default via 192.0.2.1"),
        branches_talk,
        r"nat-1 routes\n- default via 192\.0\.2\.1 .*\n\+ blackhole default",
    ),
    Break(
        "translation at the POP",
        unmended("vmsr-1", "nft flush chain inet elastic translation"),
        the_first_reaches_the_internet,
        r"vmsr-1 filter\n(.*\n)*- .*(masquerade|snat)",
    ),
    Break(
        "size of packets",
        by_hand("internet", "ip link set access-2 mtu 600", "ip link set access-2 mtu 1500"),
        large_packets_pass,
        r"internet links\n- access-2: .* mtu 1500 .*\n\+ access-2: .* mtu 600 ",
    ),
    Break(
        "web server", by_fault(Stop(("internet",), "http")), a_page_is_served, r"internet services\n.*\n\+ down: http"
    ),
    Break(
        "VNI of a site",
        unmended(
            "ucpe-2",
            f"{VXLAN}; ip link del $vxlan; "
            "ip link add $vxlan up group 4077 type vxlan id 999 dstport 4789 local 100.127.2.1 remote 100.127.0.1",
        ),
        branches_talk,
        r"ucpe-2 links\n(.*\n)*\+ vxlan-\d+: .* vxlan id 999 ",
    ),
    Break(
        "controller",
        by_fault(Stop(("stack",), "controller")),
        the_orchestrator_says_that_all_is_up,
        r"stack services\n.*\n\+ down: controller",
    ),
    Break(
        "orders",
        by_fault(Stop(("stack",), "gro")),
        the_orchestrator_says_that_all_is_up,
        r"stack services\n.*\n\+ down: gro",
    ),
    Break(
        "log-in",
        by_fault(Stop(("stack",), "identity")),
        the_orchestrator_says_that_all_is_up,
        r"stack services\n.*\n\+ down: identity",
    ),
    Break(
        "cable of a site",
        by_fault(Cut(("ucpe-2:wan",))),
        the_second_reaches_the_internet,
        r"on purpose: cut on ucpe-2:wan",
    ),
    Break(
        "power of a router",
        by_fault(Power(("nat-1",))),
        branches_talk,
        r"on purpose: .*nat-1\n(.*\n)*=== nat-1\n\+ no answer",
    ),
    Break(
        "control of a box",
        by_fault(Pause(("ucpe-2",))),
        every_box_tells_its_tunnels,
        r"on purpose: pause.* ucpe-2\n=== ucpe-2\n\+ no answer: .*paused",
    ),
    Break("bad line", by_fault(Loss(("nat-1:wan",), percent=100)), branches_talk, r"on purpose: .*loss.* nat-1:wan"),
    Break(
        "port of a server",
        by_fault(Outage(("internet",), port=80)),
        a_page_is_served,
        r"on purpose: outage on internet: port 80",
    ),
    Break(
        "gateway of a host",
        by_hand("host-1", "ip route replace default via 10.1.0.99", "ip route replace default via 10.1.0.1"),
        branches_talk,
        r"host-1 routes\n- default via 10\.1\.0\.1 .*\n\+ default via 10\.1\.0\.99",
    ),
    Break(
        "VLAN of a host",
        by_hand("host-2", vlan(21), vlan(20)),
        the_second_reaches_the_internet,
        r"host-2 links\n- lan\.20@lan: .* id 20 .*\n\+ lan\.20@lan: .* id 21 ",
    ),
    Break(
        "forwarding by the provider",
        by_hand("internet", DROP_ALL.replace("HOOK", "forward"), WHOLE),
        branches_talk,
        r"internet filter\n(.*\n)*\+.*hook forward .*policy drop",
    ),
    Break(
        "firewall of a host",
        by_hand("host-2", DROP_ALL.replace("HOOK", "input"), WHOLE),
        branches_talk,
        r"host-2 filter\n(.*\n)*\+.*hook input .*policy drop",
    ),
    Break(
        "address of the gateway's port",
        by_hand(
            "host-1",
            "ip neigh replace 10.1.0.1 lladdr 02:00:00:00:00:99 nud permanent dev lan",
            "ip neigh del 10.1.0.1 dev lan",
        ),
        branches_talk,
        r"host-1 neighbours\n\+ 10\.1\.0\.1 dev lan lladdr 02:00:00:00:00:99",
    ),
    Break(
        "a router that routes",
        by_hand("nat-1", "echo 0 >/proc/sys/net/ipv4/ip_forward", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
        branches_talk,
        r"nat-1 settings\n- ipv4/ip_forward:1\n\+ ipv4/ip_forward:0",
    ),
    Break(
        "keys in the kernel",
        by_hand("ucpe-1", "ip xfrm state flush", "sv restart charon"),
        branches_talk,
        r"ucpe-1 associations\n- src ",
    ),
    Break(
        "policies in the kernel",
        by_hand("ucpe-2", "ip xfrm policy flush", "sv restart charon"),
        the_second_reaches_the_internet,
        r"ucpe-2 policies\n(- .*\n)*- src 100\.127\.2\.1/32 dst 100\.127\.0\.1/32",
    ),
    Break(
        "GRE of a site",
        unmended("ucpe-1", "ip link set gre-vmsr-1 down"),
        branches_talk,
        r"ucpe-1 links\n- gre-vmsr-1@.*\bUP\b.*\n\+ gre-vmsr-1@(?!.*\bUP\b)",
    ),
    Break(
        "an address that two have",
        by_hand(
            "internet",
            f"ip address add {ADDRESS_OF_SITE_2}/32 dev lo",
            f"ip address del {ADDRESS_OF_SITE_2}/32 dev lo",
        ),
        the_second_reaches_the_internet,
        r"internet addresses\n\+ lo +inet 192\.0\.2\.6/32",
    ),
    Break(
        "queue of a port",
        by_hand("ucpe-2", "tc qdisc add dev wan root netem loss 100%", "tc qdisc del dev wan root"),
        the_second_reaches_the_internet,
        r"ucpe-2 queues\n(.*\n)*\+ qdisc netem dev wan root .*loss 100%",
    ),
    Break(
        "routes of a tenant at the POP",
        unmended(
            "vmsr-1",
            "table=$(ip -o route show table all 10.1.0.0/24 | grep -o 'table [0-9]*'); ip route del 10.1.0.0/24 $table",
        ),
        branches_talk,
        r"vmsr-1 routes\n(.*\n)*- 10\.1\.0\.0/24 ",
    ),
    Break(
        "gateway of a site at the POP",
        unmended("vmsr-1", f"{VXLAN}; ip link set $vxlan nomaster"),
        the_second_reaches_the_internet,
        r"vmsr-1 links\n(.*\n)*- vxlan-\d+: .* master acme ",
    ),
]


@pytest.fixture(scope="module")
def looks() -> dict[str, Baseline]:
    """Each lab as it was when all was well."""
    return {}


@pytest.fixture
def whole(lab: Lab, life: Life, looks: dict[str, Baseline]) -> Iterator[Baseline]:
    """The lab as it was when all was well, as it is before and after the test."""
    life.passes(HEAL_SECONDS)
    if lab.name not in looks:
        looks[lab.name] = at_rest(lab)
    before = looks[lab.name]
    yield before
    life.passes(HEAL_SECONDS)
    life.until_connected(*BOXES)
    until_same(lab, before)


def at_rest(lab: Lab) -> Baseline:
    """What is there when nothing is on its way any more, as from the test before."""
    seen = [difference.taken(lab)]

    def twice() -> bool:
        seen.append(difference.taken(lab))
        return not difference.told(*seen[-2:])

    wait_for("the lab to be at rest", twice, HEAL_SECONDS)
    return seen[-1]


def until_same(lab: Lab, before: Baseline) -> None:
    """Nothing is told where nothing is broken."""
    last = ""

    def same() -> bool:
        nonlocal last
        last = difference.told(before, difference.taken(lab))
        return not last

    try:
        wait_for("the lab to be as it was", same, HEAL_SECONDS)
    except DeadlineError as error:
        raise AssertionError(last) from error


def reported(lab: Lab, before: Baseline, one: Break) -> str:
    """What the report shows first, when somebody has seen that it is broken."""
    witness = Witness(lab, "test_x", lambda: before)
    with one.broken(lab):
        try:
            one.seen(lab)
        except (AssertionError, CommandError, OrchestratorError, DeadlineError) as error:
            witness.failed(error)
        else:
            raise AssertionError(f"{one.seen.__name__} does not see that the {one.feature} is broken")
    return witness.seen[0].text


IN_EVERY_RUN = {
    "gateway of a host",
    "size of packets",
    "forwarding by the provider",
    "web server",
    "orders",
    "control of a box",
}
"""One of each sort: routes, links, filters, services of a node and of the stack, a fault on purpose."""
PARAMETERS = [
    pytest.param(one, id=one.feature, marks=[] if one.feature in IN_EVERY_RUN else [pytest.mark.exhaustive])
    for one in BREAKS
]


@pytest.mark.parametrize("one", PARAMETERS)
def test_the_report_names_the_cause(one: Break, lab: Lab, whole: Baseline) -> None:
    said = reported(lab, whole, one)
    print(said)
    assert re.search(one.cause, said), said

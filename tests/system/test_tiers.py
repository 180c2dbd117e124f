"""Series hardware (PC-01): put power on a site of any tier and it is in service, with the same box and the same
application on each, within the limits of its hardware."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import permutations

import allure
import pytest

from harness.lab import Lab, Node, assert_encrypted
from harness.orchestrator import plug
from harness.orchestrator.client import Orchestrator
from harness.topology import TIERS
from harness.wait import Deadline, wait_for

pytestmark = [pytest.mark.topology("tiers"), pytest.mark.exhaustive]

MIB = 2**20
SECONDS = 60
SITES = {"plant": "embedded", "access": "access-board", "edge": "aio", "core": "rack"}
"""The tier of each."""
APPLICATIONS = {"plant": "10.1.0.10", "access": "10.2.0.10", "edge": "10.3.0.10", "core": "10.4.0.10"}
_USED = """
cd /sys/fs/cgroup
awk '$1 == "usage_usec" {print $2}' cpu.stat; cat memory.current memory.peak
df -B1 --output=used / | tail -n 1
"""
_PROGRAMS = "find /usr/bin /usr/sbin /usr/lib /opt -xdev -type f ! -name '*.pyc' -printf '%p %s\\n' | sort | sha256sum"
"""Of its image: what is nowhere written to."""


def application(site: str) -> str:
    return "app-core-1" if site == "core" else f"app-{site}"


def nodes_of(lab: Lab, site: str) -> list[Node]:
    """All of a site but what serves every site: the orchestrator and the POP."""
    there = [node.name for node in lab.topology.nodes.values() if node.site == site]
    return [lab[name] for name in there if name not in ("stack", "vmsr-1")]


def is_served(lab: Lab, client: str, site: str) -> bool:
    """Whether a site's application answers at another site."""
    page = lab[application(client)].run("curl", "-sf", "-m", "1", f"http://{APPLICATIONS[site]}/")
    return page.ok and "elasticlab" in page.stdout


@dataclass(frozen=True)
class Footprint:
    """What a node has used since it got power: seconds of a processor; octets of memory, now and at most, and disk."""

    node: str
    cpu: float
    memory: int
    peak: int
    disk: int


def footprint(node: Node) -> Footprint:
    cpu, memory, peak, disk = map(int, node.sh(_USED).split())
    return Footprint(node.name, cpu / 1e6, memory, peak, disk)


def test_each_tier_runs_the_same_box_and_the_same_application(lab: Lab) -> None:
    boxes = {lab[f"ucpe-{site}"].sh(_PROGRAMS) for site in SITES}
    applications = {lab[application(site)].sh(_PROGRAMS) for site in SITES}
    assert len(boxes) == len(applications) == 1
    assert boxes != applications
    models = {lab.topology.nodes[f"ucpe-{site}"].model for site in SITES}
    assert len(models) == len(SITES), "the hardware differs"


def test_each_node_has_the_limits_of_its_tier(lab: Lab) -> None:
    for site, name in SITES.items():
        tier = TIERS[name]
        for node in nodes_of(lab, site):
            look = "cd /sys/fs/cgroup; cat cpu.max memory.max; df -B1 --output=size / | tail -n 1"
            quota, period, memory, disk = map(int, node.sh(look).split())
            assert (quota / period, memory) == (tier.cpu, tier.memory)
            assert 0.6 * tier.disk < disk <= tier.disk


def test_each_application_is_served_at_every_other_site_and_nobody_on_the_way_can_read_it(lab: Lab) -> None:
    with assert_encrypted(lab, "ucpe-plant:wan"), assert_encrypted(lab, "ucpe-core:wan"):
        for client, site in permutations(SITES, 2):
            assert is_served(lab, client, site), f"{site} at {client}"


@pytest.mark.parametrize("site", SITES)
def test_power_on_and_go(lab: Lab, site: str) -> None:
    """A site loses its power. When that is back, so is its service, with nobody's help and without the management
    network. How long it took, and what it used of its hardware, is attached.
    """
    client = "edge" if site == "core" else "core"
    nodes = nodes_of(lab, site)
    with lab.without_management():
        for node in nodes:
            node.power.off()
        assert not is_served(lab, client, site)
        begun = time.monotonic()
        for node in nodes:
            node.power.on()
        wait_for(f"the application of {site} to be served at {client}", lambda: is_served(lab, client, site), SECONDS)
        spent = time.monotonic() - begun
    used = [footprint(node) for node in nodes]
    tell(site, spent, used)
    tier = TIERS[SITES[site]]
    assert all(one.peak <= tier.memory and one.disk <= tier.disk for one in used)
    plug.wait_until_up(Orchestrator.of(lab), Deadline(SECONDS))


def tell(site: str, seconds: float, used: list[Footprint]) -> None:
    lines = [f"{site} ({SITES[site]}): in service {seconds:.1f} s after power on", ""]
    lines.append(f"{'node':<14} {'CPU s':>7} {'memory':>10} {'at most':>10} {'disk':>10}")
    for one in used:
        sizes = "".join(f"{size / MIB:>7.1f} MiB" for size in (one.memory, one.peak, one.disk))
        lines.append(f"{one.node:<14} {one.cpu:>7.2f}{sizes}")
    text = "\n".join(lines)
    print(f"\n{text}")
    allure.attach(text, f"footprint of {SITES[site]}", allure.attachment_type.TEXT)

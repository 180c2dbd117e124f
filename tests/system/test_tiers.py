"""Series hardware (PC-01): put power on a site of any tier and it is in service, with the same box and the same
application on each, within the limits of its hardware."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from itertools import permutations

import pytest

from harness.evidence.steps import step
from harness.lab import Lab, Node, assert_encrypted
from harness.orchestrator import plug
from harness.orchestrator.client import Orchestrator
from harness.topology import TIERS
from harness.wait import Deadline, wait_for
from tests.system.footprint import Footprint, footprint, table

pytestmark = pytest.mark.topology("tiers")

SECONDS = 60
SITES = {"plant": "embedded", "access": "access-board", "edge": "aio", "core": "rack"}
"""The tier of each."""
APPLICATIONS = {"plant": "10.1.0.10", "access": "10.2.0.10", "edge": "10.3.0.10", "core": "10.4.0.10"}
# Of its image: what is nowhere written to. What Python made of its sources has a time in it, and comes from them.
_PROGRAMS = """
cd /proc/{pid}/root
find opt usr/bin usr/sbin usr/lib -xdev -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum
"""


def application(site: str) -> str:
    return "app-core-1" if site == "core" else f"app-{site}"


def nodes_of(lab: Lab, site: str) -> list[Node]:
    """All of a site but what serves every site: the orchestrator and the POP."""
    there = [node.name for node in lab.topology.nodes.values() if node.site == site]
    return [lab[name] for name in there if name not in ("stack", "vmsr-1")]


def is_served(lab: Lab, client: str, site: str, within: float = 1) -> bool:
    """Whether a site's application answers at another site."""
    page = lab[application(client)].run("curl", "-sf", "-m", f"{within:g}", f"http://{APPLICATIONS[site]}/")
    return page.ok and "elasticlab" in page.stdout


def programs(lab: Lab, nodes: list[str]) -> list[str]:
    """Of each node, one hash of the paths and contents of all its programs.

    The lab host looks: by itself, a board with a quarter of a processor would need ten seconds.
    """
    states = lab.engine.states()
    script = "".join(_PROGRAMS.format(pid=states[node].pid) for node in nodes)
    looked = lab.host.command("/bin/sh", "-euc", script)
    said = subprocess.run(looked, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert said.stderr == ""
    return said.stdout.split()[::2]


def test_each_tier_runs_the_same_box_and_the_same_application(lab: Lab, tell: Callable[[str, str], None]) -> None:
    boxes, applications = [f"ucpe-{site}" for site in SITES], [application(site) for site in SITES]
    found = dict(zip([*boxes, *applications], programs(lab, [*boxes, *applications]), strict=True))
    assert len({found[box] for box in boxes}) == 1, found
    assert len({found[one] for one in applications}) == 1, found
    assert len(set(found.values())) == 2, "these are not the same"
    models = {lab.topology.nodes[box].model for box in boxes}
    assert len(models) == len(SITES), "the hardware differs"
    tell("programs on each tier (SHA-256)", f"box          {found[boxes[0]]}\napplication  {found[applications[0]]}")


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


def test_power_on_and_go(lab: Lab, tell: Callable[[str, str], None]) -> None:
    """One site after the other loses its power. When that is back, so is its service, with nobody's help and without
    the management network. How long it took, and what it used of its hardware, is told.
    """
    rows = [(SITES[site], *power_on(lab, site)) for site in SITES]
    tell("from power on to service", table(rows))
    for name, _, used in rows:
        tier = TIERS[name]
        assert all(one.peak <= tier.memory and one.disk <= tier.disk and not one.killed for one in used)
    plug.wait_until_up(Orchestrator.of(lab), Deadline(SECONDS))


@step("Site {site} loses its power and gets it back")
def power_on(lab: Lab, site: str) -> tuple[float, list[Footprint]]:
    """The seconds from power on to service, and what its nodes have used by then."""
    client = "edge" if site == "core" else "core"
    nodes = nodes_of(lab, site)
    with lab.without_management():
        for node in nodes:
            node.power.off()
        assert not is_served(lab, client, site, within=0.5)
        begun = time.monotonic()
        for node in nodes:
            node.power.on()
        wait_for(f"the application of {site} to be served at {client}", lambda: is_served(lab, client, site), SECONDS)
        spent = time.monotonic() - begun
    return spent, [footprint(node) for node in nodes]

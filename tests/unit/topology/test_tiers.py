"""Tiers of hardware: what they make of nodes and links, and what a file says itself counts before them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from harness.engine.describe import world
from harness.host.slot import Slot
from harness.topology import TIERS, Tier, Topology, load
from tests.unit.harness.test_describe import IMAGES

FILE = """
name: sites
topology:
  defaults: {kind: linux, image: elasticlab/endpoint}
  groups:
    small: {labels: {elasticlab.tier: embedded}}
    large: {labels: {elasticlab.tier: aio}}
  nodes:
    plain:
    board: {group: small}
    own: {group: small, cpu: 0.1, memory: 1GiB, labels: {elasticlab.disk: 32MiB}}
    frame: {group: large}
  links:
    - endpoints: ["plain:a", "plain:b"]
    - endpoints: ["plain:c", "frame:wan"]
    - endpoints: ["frame:lan", "board:wan"]
    - endpoints: ["board:lan", "own:lan"]
      labels: {elasticlab.rate: 3mbit toward own:lan, elasticlab.delay: 5ms}
"""


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    file = tmp_path / "sites.clab.yml"
    file.write_text(FILE)
    return load(file)


def test_a_node_has_the_limits_of_its_tier_unless_it_names_its_own(topology: Topology) -> None:
    small, large = TIERS["embedded"], TIERS["aio"]
    limits = {node.name: (node.cpu, node.memory, node.disk) for node in topology.nodes.values()}
    assert limits == {
        "plain": (None, None, None),
        "board": (small.cpu, small.memory, small.disk),
        "own": (0.1, 2**30, 32 * 2**20),
        "frame": (large.cpu, large.memory, large.disk),
    }


def test_a_cable_carries_what_its_slower_end_does_unless_it_names_a_rate(topology: Topology) -> None:
    small, large = TIERS["embedded"].rate, TIERS["aio"].rate
    rates = [tuple(side.rate for side in link.impaired) for link in topology.links]
    assert rates == [(0, 0), (large, large), (small, small), (small, 3e6)]
    assert [side.delay for side in topology.links[3].impaired] == [5, 5]


def test_the_kernel_must_be_able_to(topology: Topology) -> None:
    assert topology.requires == {"cgroup2", "netem"}


def test_the_agent_is_told(topology: Topology) -> None:
    told = {node["name"]: node for node in world(topology, "x", Slot(3), IMAGES, str, {})["nodes"]}
    assert (told["own"]["cpu"], told["own"]["memory"], told["own"]["disk"]) == (0.1, 2**30, 32 * 2**20)
    assert told["plain"]["disk"] is None


def test_each_tier_is_more_than_the_one_before_it() -> None:
    assert list(TIERS) == ["embedded", "access-board", "aio", "rack"]
    for less, more in pairwise(TIERS.values()):
        for limit in ("cpu", "memory", "disk", "rate", "nodes"):
            assert getattr(less, limit) < getattr(more, limit), (limit, more.name)


@pytest.mark.parametrize("tier", TIERS.values(), ids=list(TIERS))
def test_the_page_has_the_figures(tier: Tier) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "tiers.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{tier.name}` "))
    figures = [cell.strip() for cell in row.split("|")[3:-1]]
    memory = f"{tier.memory / 2**30:g} GiB" if tier.memory >= 2**30 else f"{tier.memory / 2**20:g} MiB"
    assert figures == [
        f"{tier.cpu:g}", memory, f"{tier.disk / 2**20:g} MiB", f"{tier.rate / 1e6:g} Mbit/s", f"{tier.nodes}",
    ]  # fmt: skip
    assert tier.what in row
    assert tier.like in row

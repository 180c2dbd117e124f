"""The graphs that both engines get, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.topology import load
from perf import sites
from perf.engines import Measured, Times, graphs, ring


def test_a_ring_has_as_many_cables_as_nodes_and_each_node_two(tmp_path: Path) -> None:
    file = tmp_path / "ring.clab.yml"
    file.write_text(yaml.safe_dump(ring(20)))
    topology = load(file)
    assert len(topology.nodes) == len(topology.links) == 20
    assert all(topology.interfaces(name) == ("right", "left") for name in list(topology.nodes)[:1])
    assert all(len(topology.interfaces(name)) == 2 for name in topology.nodes)


@pytest.mark.parametrize("size", [1, 50])
def test_both_engines_get_the_sites_that_are_brought_up_elsewhere(tmp_path: Path, size: int) -> None:
    """Nodes, images, cables and commands of `bench sites`; only what runs in the nodes is nothing."""
    found = {}
    for name, wanted in {**graphs([size], 3), "known": sites.topology(size)}.items():
        file = tmp_path / f"{name}.clab.yml"
        file.write_text(yaml.safe_dump(wanted))
        found[name] = load(file)
    name = {1: "1 site", 50: "50 sites"}[size]
    assert set(found) == {"3", name, "known"}
    ours, known = found[name], found["known"]
    assert [replace(one, line=0) for one in ours.links] == [replace(one, line=0) for one in known.links]
    for of in ("image", "exec", "sysctls", "labels"):
        assert {n: getattr(node, of) for n, node in ours.nodes.items()} == {
            n: getattr(node, of) for n, node in known.nodes.items()
        }
    assert {node.cmd for node in ours.nodes.values()} == {("sleep", "infinity")}


def measured(floor: list[float]) -> dict[str, dict[str, Any]]:
    up = {"ours": 1.5, "asked": 1.0, "peer": 9.0}
    times = {name: Times([seconds] * 5, [seconds] * 5) for name, seconds in up.items()}
    told: list[dict[str, Any]] = Measured(**times, floor=Times(floor, [0.5] * 5)).as_json("20", least_ratio=5.0)
    return {one["name"]: one for one in told}


def test_ours_is_set_against_peer_floor_and_an_agent_that_runs() -> None:
    found = measured([1.0] * 5)
    assert {name: (one["ratio"], one["kept"], one["void"]) for name, one in found.items()} == {
        "up 20": (6.0, True, ""),  # containerlab takes six times as long
        "up 20, ours": (1.5, True, ""),
        "up 20, started for it": (1.5, None, ""),
        "down 20": (6.0, True, ""),
        "down 20, ours": (3.0, False, ""),  # more than two floors
        "down 20, started for it": (1.5, None, ""),
    }


def test_a_floor_that_moves_makes_the_peer_void_too() -> None:
    """Ours stands in the place of the floor there, and was steady."""
    found = measured([1.0, 1.0, 1.0, 1.0, 1.6])
    void = {name for name, one in found.items() if one["void"]}
    assert void == {"up 20", "up 20, ours", "up 20, started for it"}

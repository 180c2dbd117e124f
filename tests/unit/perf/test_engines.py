"""The graph that both engines get."""

from __future__ import annotations

from pathlib import Path

from harness.topology import load
from perf.engines import ring


def test_a_ring_has_as_many_cables_as_nodes_and_each_node_two(tmp_path: Path) -> None:
    file = tmp_path / "ring.clab.yml"
    file.write_text(ring(20))
    topology = load(file)
    assert len(topology.nodes) == len(topology.links) == 20
    assert all(topology.interfaces(name) == ("right", "left") for name in list(topology.nodes)[:1])
    assert all(len(topology.interfaces(name)) == 2 for name in topology.nodes)

"""The floor makes the same kernel objects as a lab, told by its batches."""

from __future__ import annotations

from typing import Any

from perf.peers.floor import batch, batch_inside

NODES: list[dict[str, Any]] = [
    {"name": "a", "number": 0, "management": "100.72.0.11/21"},
    {"name": "b", "number": 1, "management": "100.72.0.12/21"},
]
WORLD: dict[str, Any] = {
    "nodes": NODES,
    "links": [{"index": 0, "ends": [{"node": "a", "interface": "wan"}, {"node": "b", "interface": "lan"}]}],
}


def test_each_node_has_a_namespace_and_each_link_two_ends() -> None:
    lines = batch(WORLD)
    assert [line for line in lines if line.startswith("netns")] == ["netns add a", "netns add b"]
    assert "link add wan netns a type veth peer name lan netns b" in lines
    assert sum("peer name eth0" in line for line in lines) == len(NODES)


def test_every_interface_of_a_node_is_set_up() -> None:
    lines = batch_inside(WORLD, NODES[0])
    assert lines == ["address add 100.72.0.11/21 dev eth0", *(f"link set {name} up" for name in ("lo", "eth0", "wan"))]

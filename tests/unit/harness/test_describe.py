"""A topology becomes the data that the agent builds from."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build import Image
from harness.engine import EngineError
from harness.engine.describe import image_of, mac_of, refuse_unsupported, world
from harness.host.slot import Slot
from harness.topology import load

IMAGES = {
    name: Image(name, "0", (Path(f"/cache/{name}"), Path("/cache/base"))) for name in ("element", "endpoint", "stack")
}


def test_every_node_and_link_of_the_demo_is_described_once() -> None:
    topology = load("demo")
    described = world(topology, "demo", Slot(3), IMAGES, str, {})
    assert [node["name"] for node in described["nodes"]] == list(topology.nodes)
    assert len({node["management"] for node in described["nodes"]}) == len(topology.nodes)
    assert len(described["links"]) == len(topology.links)
    ends = [(end["node"], end["interface"]) for link in described["links"] for end in link["ends"]]
    assert len(set(ends)) == len(ends)
    assert {node["name"]: node["layers"] for node in described["nodes"]}["nat-1"] == ["/cache/endpoint", "/cache/base"]


def test_addresses_are_stable_unicast_and_local() -> None:
    assert mac_of("demo", "ucpe-1", "wan") == mac_of("demo", "ucpe-1", "wan")
    assert mac_of("demo", "ucpe-1", "wan") != mac_of("other", "ucpe-1", "wan")
    assert int(mac_of("demo", "ucpe-1", "wan")[:2], 16) & 0b11 == 0b10


def test_an_image_that_the_engine_does_not_know_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "x.clab.yml"
    file.write_text("name: x\ntopology:\n  nodes:\n    a: {kind: linux, image: alpine:3}\n")
    node = load(file).nodes["a"]
    with pytest.raises(EngineError, match=r"node a: .*'alpine:3'; it must be elasticlab/NAME:latest"):
        image_of(node)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("mgmt: {ipv4-subnet: 172.20.0.0/24}\n", "mgmt.ipv4-subnet"),
        ("mgmt: {ipv6-subnet: '2001:db8::/64'}\n", "mgmt.ipv6-subnet"),
        ("mgmt: {mtu: 1400}\n", "mgmt.mtu"),
    ],
)
def test_what_the_engine_would_ignore_is_refused(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "x.clab.yml"
    file.write_text(f"name: x\n{text}topology:\n  nodes:\n    a: {{kind: linux, image: elasticlab/endpoint}}\n")
    with pytest.raises(EngineError, match=field):
        refuse_unsupported(load(file))


def test_a_nodes_own_capabilities_are_refused_and_shipped_topologies_are_not(tmp_path: Path) -> None:
    file = tmp_path / "x.clab.yml"
    file.write_text("name: x\ntopology:\n  nodes:\n    a: {kind: linux, image: e, cap-add: [SYS_TIME]}\n")
    with pytest.raises(EngineError, match="node a: cap-add"):
        refuse_unsupported(load(file))
    for shipped in ("demo", "underlay", "plain"):
        refuse_unsupported(load(shipped))

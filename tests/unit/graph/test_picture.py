"""Pictures of topologies: everything is in them, nothing overlaps, what is known of tunnels shows."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest

from harness.cli.graphing import drawn
from harness.cli.output import TunnelOut
from harness.graph.layout import Box, layout
from harness.graph.svg import Drawn, picture
from harness.topology import TOPOLOGIES, load

NAMES = sorted(folder.name for folder in TOPOLOGIES.iterdir() if any(folder.glob("*.clab.yml")))
SVG = "{http://www.w3.org/2000/svg}"


def overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def tunnel(box: str, name: str, *, up: bool) -> TunnelOut:
    return TunnelOut(
        box=box, name=name, up=up, remote_address="", encapsulated=False, packets_in=0, packets_out=0
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_all_is_inside(name: str) -> None:
    where = layout(load(name))
    for boxes in (where.sites, where.nodes):
        assert not [pair for pair in combinations(boxes, 2) if overlap(boxes[pair[0]], boxes[pair[1]])]
        assert all(box.x > 0 and box.x + box.width < where.width for box in boxes.values())
        assert all(box.y > 0 and box.y + box.height < where.height for box in boxes.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_node_and_link_is_drawn(name: str) -> None:
    topology = load(name)
    root = ElementTree.fromstring(picture(topology))
    assert {group.get("data-node") for group in root.iter(f"{SVG}g")} == set(topology.nodes)
    both = [link for link in topology.links if all(end.node in topology.nodes for end in link.endpoints)]
    assert len([path for path in root.iter(f"{SVG}path") if path.get("data-link")]) == len(both)
    interfaces = {text.text for text in root.iter(f"{SVG}text")}
    assert {end.interface for link in both for end in link.endpoints} <= interfaces


def test_tunnels_and_nodes_without_power_are_told_apart() -> None:
    svg = picture(load("demo"), [Drawn(("ucpe-1", "vmsr-1"), "up"), Drawn(("ucpe-2", "vmsr-1"), "down")], {"host-1"})
    root = ElementTree.fromstring(svg)
    tunnels = {path.get("data-a"): path.get("class") for path in root.iter(f"{SVG}path") if path.get("data-a")}
    assert tunnels == {"ucpe-1": "tunnel up", "ucpe-2": "tunnel down"}
    off = [group.get("data-node") for group in root.iter(f"{SVG}g") if "off" in str(group.get("class")).split()]
    assert off == ["host-1"]


def test_a_tunnel_is_up_when_both_of_its_ends_say_so() -> None:
    told = [
        tunnel("vmsr-1", "ucpe-1", up=True),
        tunnel("ucpe-1", "vmsr-1", up=False),
        tunnel("ucpe-2", "vmsr-1", up=True),
    ]
    told += [tunnel("vmsr-1", "somebody-else", up=True)]
    assert drawn(load("demo"), told) == [Drawn(("ucpe-1", "vmsr-1"), "down"), Drawn(("ucpe-2", "vmsr-1"), "up")]


def test_inside_a_page_it_brings_no_style() -> None:
    assert "<style" in picture(load("plain"))
    assert "<style" not in picture(load("plain"), styled=False)

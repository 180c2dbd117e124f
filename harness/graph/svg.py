"""A topology's picture as SVG, with what is known of its tunnels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.graph.layout import Box, layout
from harness.topology import Endpoint, Topology

# Mid-tone colours and a card of its own, so that it reads on white and on dark pages.
STYLE = """
.card { fill: #f6f8fa; stroke: #8b949e }
.site { fill: #ffffff; stroke: #8b949e; stroke-dasharray: 5 4 }
.node { fill: #ffffff; stroke: #57606a; stroke-width: 1.5 }
.box .node { fill: #dbeafe; stroke: #1d4ed8 }
.off .node { fill: #d0d7de; stroke-dasharray: 2 2 }
.wire { stroke: #57606a; stroke-width: 2; fill: none }
.tunnel { stroke-width: 5; fill: none; stroke-linecap: round; opacity: .7 }
.tunnel.up { stroke: #15803d }
.tunnel.down { stroke: #b91c1c; stroke-dasharray: 6 8 }
.tunnel.unknown { stroke: #8b949e; stroke-dasharray: 2 8 }
text { fill: #1f2328; font-family: Helvetica, Arial, sans-serif; font-size: 13px; text-anchor: middle }
.head { font-weight: bold; fill: #424a53; text-anchor: start }
.name { font-weight: bold }
.small { font-size: 11px; fill: #424a53 }
.rate { font-size: 11px; fill: #1d4ed8 }
"""


@dataclass(frozen=True)
class Drawn:
    """A tunnel between two nodes: `state` is `up`, `down` or `unknown`."""

    ends: tuple[str, str]
    state: str


def picture(topology: Topology, tunnels: Sequence[Drawn] = (), off: Iterable[str] = (), *, styled: bool = True) -> str:
    """The SVG. Without `styled` whoever shows it brings STYLE along: inside a page that forbids styles of its own."""
    where = layout(topology)
    size = f"0 0 {where.width:g} {where.height:g}"
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=size, role="img")
    if styled:
        root.attrib.update(width=f"{where.width:g}", height=f"{where.height:g}")
    SubElement(root, "title").text = f"Topology {topology.name}"
    if styled:
        SubElement(root, "style").text = STYLE
    _rect(root, Box(1, 1, where.width - 2, where.height - 2), "card", 12)
    for name, box in where.sites.items():
        _rect(root, box, "site", 8)
        _text(root, box.x + 10, box.y + 17, name, "head")
    for tunnel in tunnels:
        _tunnel(root, where.nodes[tunnel.ends[0]], where.nodes[tunnel.ends[1]], tunnel)
    for index, link in enumerate(topology.links):
        drawn = [(end, where.nodes[end.node]) for end in link.endpoints if end.node in where.nodes]
        if len(drawn) == 2:
            _link(root, index, drawn[0], drawn[1])
    dark = set(off)
    for name, node in topology.nodes.items():
        kinds = " ".join(["machine", *(["box"] if node.personality else []), *(["off"] if name in dark else [])])
        group = SubElement(root, "g", {"class": kinds, "data-node": name})
        box = where.nodes[name]
        _rect(group, box, "node", 6)
        middle, _ = box.center
        _text(group, middle, box.y + 20, name, "name")
        _text(group, middle, box.y + 36, " ".join(filter(None, (node.role, node.tier))), "small")
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def _rect(parent: Element, box: Box, kind: str, radius: float) -> None:
    places = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": radius}
    SubElement(parent, "rect", {"class": kind, **{key: f"{value:g}" for key, value in places.items()}})


def _text(parent: Element, x: float, y: float, text: str, kind: str, **more: str) -> None:
    SubElement(parent, "text", {"class": kind, "x": f"{x:g}", "y": f"{y:g}", **more}).text = text


def _link(parent: Element, index: int, a: tuple[Endpoint, Box], b: tuple[Endpoint, Box]) -> None:
    (end_a, box_a), (end_b, box_b) = a, b
    start, stop = _edge(box_a, box_b.center), _edge(box_b, box_a.center)
    SubElement(
        parent, "path", {"class": "wire", "data-link": str(index), "d": f"M{_xy(start)} L{_xy(stop)}"}
    )  # fmt: skip
    # One rate above and one below the wire, for cables that are shorter than two of them.
    for end, here, there, beside in ((end_a, start, stop, -18), (end_b, stop, start, 13)):
        long = hypot(there[0] - here[0], there[1] - here[1]) or 1
        x, y = (here[axis] + (there[axis] - here[axis]) * min(0.35, 26 / long) for axis in (0, 1))
        _text(parent, x, y - 5, end.interface, "small")
        # What this end sends: a live page fills it in.
        _text(parent, x, y + beside, "", "rate", **{"data-end": str(end)})


def _tunnel(parent: Element, a: Box, b: Box, tunnel: Drawn) -> None:
    """An arc above the wires, so that it does not hide them."""
    start, stop = _edge(a, b.center), _edge(b, a.center)
    bend = ((start[0] + stop[0]) / 2, min(start[1], stop[1]) - 30)
    ends = {"data-a": tunnel.ends[0], "data-b": tunnel.ends[1]}
    path = f"M{_xy(start)} Q{_xy(bend)} {_xy(stop)}"
    drawn = SubElement(parent, "path", {"class": f"tunnel {tunnel.state}", **ends, "d": path})
    SubElement(drawn, "title").text = f"tunnel {tunnel.ends[0]} – {tunnel.ends[1]}: {tunnel.state}"


def _edge(box: Box, toward: tuple[float, float]) -> tuple[float, float]:
    """Where the line from a box's centre leaves it."""
    x, y = box.center
    dx, dy = toward[0] - x, toward[1] - y
    if not dx and not dy:
        return x, y
    scale = min(box.width / 2 / abs(dx) if dx else 1e9, box.height / 2 / abs(dy) if dy else 1e9)
    return x + dx * scale, y + dy * scale


def _xy(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"

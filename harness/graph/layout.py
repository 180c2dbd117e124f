"""Where the nodes of a topology are drawn: sites as boxes, the best-connected one in the middle.

Sites stand in columns by their distance from the middle one: those where things are hosted (POPs, clouds, the
orchestrator) to its right, the others to its left. Inside a site, who has a way out stands nearest to the middle.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.topology import Topology

NODE_WIDTH, NODE_HEIGHT = 110, 46
_GAP, _ROW, _PAD, _HEAD = 90, 26, 18, 22
_BETWEEN, _ABOVE, _MARGIN = 130, 34, 24
_RIGHT = ("vmsr", "vpcgw", "stack")

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Box:
    """A rectangle: its upper left corner and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    sites: Mapping[str, Box]
    nodes: Mapping[str, Box]


def layout(topology: Topology) -> Layout:
    """The same picture for the same topology, always."""
    site = {name: node.site or name for name, node in topology.nodes.items()}
    columns = _columns(topology, site)
    inner = {name: _inner(topology, site, name, columns[name] <= 0) for name in columns}
    sizes = {name: _size(grid) for name, grid in inner.items()}
    sites: dict[str, Box] = {}
    x = float(_MARGIN)
    order: dict[int, list[str]] = defaultdict(list)
    for name, column in columns.items():
        order[column].append(name)
    tall = max(_stacked(sizes[name][1] for name in names) for names in order.values())
    for column in sorted(order):
        y = _MARGIN + (tall - _stacked(sizes[name][1] for name in order[column])) / 2
        wide = max(sizes[name][0] for name in order[column])
        for name in order[column]:
            width, height = sizes[name]
            sites[name] = Box(x + (wide - width) / 2, y, width, height)
            y += height + _ABOVE
        x += wide + _BETWEEN
    nodes = {node: _place(sites[name], *cell) for name, grid in inner.items() for node, cell in grid.items()}
    return Layout(x - _BETWEEN + _MARGIN, tall + 2 * _MARGIN, sites, nodes)


def _columns(topology: Topology, site: Mapping[str, str]) -> dict[str, int]:
    """Each site's column; 0 is the middle one. Neighbours in the order of the file."""
    near: dict[str, set[str]] = {name: set() for name in site.values()}
    for link in topology.links:
        ends = {site[end.node] for end in link.endpoints if end.node in site}
        for end in ends:
            near[end] |= ends - {end}
    right = {site[name] for name, node in topology.nodes.items() if node.role in _RIGHT}
    columns: dict[str, int] = {}
    while len(columns) < len(near):
        middle = max((name for name in near if name not in columns), key=lambda name: len(near[name]))
        distance = _distances(near, [middle])
        for name in (name for name in near if name in distance):
            columns[name] = distance[name] * (1 if name in right else -1)
    return columns


def _distances(near: Graph, start: Iterable[str]) -> dict[str, int]:
    found = dict.fromkeys(start, 0)
    waiting = deque(found)
    while waiting:
        here = waiting.popleft()
        for there in sorted(near[here]):
            if there not in found:
                found[there] = found[here] + 1
                waiting.append(there)
    return found


def _inner(topology: Topology, site: Mapping[str, str], name: str, mirrored: bool) -> dict[str, tuple[int, int]]:
    """Column and row of each node inside its site."""
    members = [node for node in topology.nodes if site[node] == name]
    near: dict[str, set[str]] = {node: set() for node in members}
    doors = []
    for link in topology.links:
        ends = [end.node for end in link.endpoints]
        inside = [end for end in ends if end in near]
        for end in inside:
            near[end] |= set(inside) - {end}
        doors += inside if len(inside) == 1 else []
    depth = _distances(near, doors or members[:1])
    far = max(depth.values(), default=0)
    cells: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = defaultdict(int)
    for node in members:
        deep = depth.get(node, far)
        column = far - deep if mirrored else deep
        cells[node] = (column, rows[column])
        rows[column] += 1
    return cells


def _size(cells: Mapping[str, tuple[int, int]]) -> tuple[float, float]:
    columns, rows = (1 + max(cell[axis] for cell in cells.values()) for axis in (0, 1))
    return (
        columns * NODE_WIDTH + (columns - 1) * _GAP + 2 * _PAD,
        rows * NODE_HEIGHT + (rows - 1) * _ROW + 2 * _PAD + _HEAD,
    )


def _place(site: Box, column: int, row: int) -> Box:
    x = site.x + _PAD + column * (NODE_WIDTH + _GAP)
    return Box(x, site.y + _PAD + _HEAD + row * (NODE_HEIGHT + _ROW), NODE_WIDTH, NODE_HEIGHT)


def _stacked(heights: Iterable[float]) -> float:
    found = list(heights)
    return sum(found) + _ABOVE * (len(found) - 1)

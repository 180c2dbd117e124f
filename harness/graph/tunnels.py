"""Which tunnels a picture shows, of what boxes tell of their ends."""

from __future__ import annotations

from collections.abc import Iterable

from harness.graph.svg import Drawn
from harness.topology import Topology


def drawn(topology: Topology, told: Iterable[tuple[str, str, bool]]) -> list[Drawn]:
    """Of (box, name of the connection, whether it is up), each pair of boxes once: down when one of its tunnels is.

    What ends outside the topology is not drawn.
    """
    states: dict[tuple[str, str], str] = {}
    for box, name, up in told:
        peer = _peer(topology, name)
        if peer is None or peer == box:
            continue
        ends = (min(box, peer), max(box, peer))
        if not up:
            states[ends] = "down"
        states.setdefault(ends, "up")
    return [Drawn(ends, state) for ends, state in sorted(states.items())]


def _peer(topology: Topology, connection: str) -> str | None:
    """The node that a connection is named after: the controller names it NODE, or NODE and what it is for."""
    found = [name for name in topology.nodes if connection == name or connection.startswith(f"{name}-")]
    return max(found, key=len, default=None)

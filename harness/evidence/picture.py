"""The topology's picture as the lab is now: which tunnels are up, which nodes have no power."""

from __future__ import annotations

from harness.graph.svg import picture
from harness.graph.tunnels import drawn
from harness.lab import Lab


def now(lab: Lab) -> str:
    """An SVG. A box that does not answer says nothing of its tunnels; their other ends may.

    Raises AgentError, AgentLost.
    """
    from harness.lab.tunnels import Tunnel, tunnels  # noqa: PLC0415 (its SSH stack is slow to import)

    states = lab.engine.states()
    running = {name for name in lab.nodes if states[name].running}
    boxes = [name for name, node in lab.topology.nodes.items() if node.personality and name in running]
    found = [told for told in (tunnels(lab, boxes) if boxes else []) if isinstance(told, Tunnel)]
    ends = drawn(lab.topology, [(told.box, told.name, told.established) for told in found])
    return picture(lab.topology, ends, set(lab.nodes) - running)

"""Whether a node's hardware can bear its image: recipes say what they need at least (`[least]`)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.build.recipe import Least, available, load
from harness.engine.base import EngineError
from harness.engine.describe import image_of
from harness.paths import REPOSITORY
from harness.topology import TIERS, Node, Problem, Topology, TopologyError

_MIB = 2**20


def refuse_too_small(topology: Topology) -> None:
    """Raise TopologyError, with line and remedy, for each node that has less memory or disk than its image needs.

    What is killed for memory again and again would only look slow, until some deadline passes.
    """
    problems = [
        Problem(topology.path, node.line, 1, f'node "{node.name}": {lack}', _remedy(node, least))
        for node, least in _known(topology)
        for lack in _lacks(node, least)
    ]
    if problems:
        raise TopologyError(problems)


def _known(topology: Topology) -> Iterator[tuple[Node, Least]]:
    """The nodes whose images have a recipe, and what that asks for. Whoever builds images refuses the others."""
    recipes = set(available(REPOSITORY / "images"))
    for node in topology.nodes.values():
        try:
            name = image_of(node)
        except EngineError:
            continue
        if name in recipes:
            yield node, load(REPOSITORY, name).least


def _lacks(node: Node, least: Least) -> Iterator[str]:
    whose = f"tier {node.tier}" if node.tier else "it"
    for what, needed, has in (("memory", least.memory, node.memory), ("disk", least.disk, node.disk)):
        if has is not None and has < needed * _MIB:
            yield f"{node.image} needs {needed} MiB of {what} at least, {whose} has {has / _MIB:g} MiB"


def _remedy(node: Node, least: Least) -> str:
    """The smallest tier that is enough, to whom a tier is at fault."""
    enough = [
        tier for tier in TIERS.values() if min(tier.memory - least.memory * _MIB, tier.disk - least.disk * _MIB) >= 0
    ]
    return f"give it tier {enough[0].name}, or more of its own" if node.tier and enough else "give it more"

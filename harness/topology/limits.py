"""What a tier (`elasticlab.tier`) makes of a node, of its links and of its site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .impairments import Impairment
from .model import Link, Node
from .tiers import TIERS


def bounded(node: Node) -> Node:
    """A node with the limits of its tier where it names none of its own."""
    if node.tier is None:
        return node
    tier = TIERS[node.tier]
    return replace(node, cpu=node.cpu or tier.cpu, memory=node.memory or tier.memory, disk=node.disk or tier.disk)


def carrying(link: Link, nodes: Mapping[str, Node]) -> Link:
    """A link that carries what the slower of its ends does, in each direction for which it names no rate."""
    tiers = [nodes[end.node].tier for end in link.endpoints if end.node in nodes]
    rates = [TIERS[tier].rate for tier in tiers if tier is not None]
    if not rates:
        return link

    def side(given: Impairment) -> Impairment:
        return given if given.rate else replace(given, rate=min(rates))

    return replace(link, impaired=(side(link.impaired[0]), side(link.impaired[1])))


def homeless(nodes: Mapping[str, Node]) -> Iterator[Node]:
    """The nodes for which their site has no room, as its tier is."""
    taken: Counter[tuple[str, str]] = Counter()
    for node in nodes.values():
        if node.tier is not None and node.site is not None:
            taken[node.site, node.tier] += 1
            if taken[node.site, node.tier] > TIERS[node.tier].nodes:
                yield node

"""Topologies: containerlab files, validated before anything starts.

`load` gives a frozen `Topology`, or raises `TopologyError` with every problem found, each with its line and remedy.
Our labels are listed in `harness.topology.labels`.
"""

from .labels import FEATURES, LABELS, ROLES
from .loading import TOPOLOGIES, find, load
from .model import Bind, Endpoint, Link, Management, Node, Topology
from .problems import Problem, TopologyError
from .tiers import TIERS, Tier

__all__ = [
    "FEATURES",
    "LABELS",
    "ROLES",
    "TIERS",
    "TOPOLOGIES",
    "Bind",
    "Endpoint",
    "Link",
    "Management",
    "Node",
    "Problem",
    "Tier",
    "Topology",
    "TopologyError",
    "find",
    "load",
]

"""The three ways that frames take in one lab (topology `forwarding`): ours, by hand, and plain."""

from __future__ import annotations

from harness.lab import Lab
from perf.forwarding.path import End, Flow, Path, mac_of, neighbour
from perf.forwarding.trial import prepare

SERVER = "198.51.100.80"
PLAIN_SERVER = "198.51.100.81"
"""The Internet sends this one through `plain-pop` first."""


def ours(lab: Lab, name: str, flows: tuple[Flow, ...], interface: str = "lan", first: int = 0) -> Path:
    return _path(lab, name, ("host-1", interface), ("vmsr-1", "pop"), flows, first)


def by_hand(lab: Lab, name: str, flows: tuple[Flow, ...], interface: str = "lan", first: int = 0) -> Path:
    return _path(lab, name, ("host-2", interface), ("hand-pop", "hand-pop"), flows, first)


def plain(lab: Lab) -> Path:
    """Two routers and nothing between them."""
    flow = Flow("10.8.0.10", PLAIN_SERVER, "10.8.0.1")
    return _path(lab, "plain", ("host-3", "lan"), ("plain-pop", "plain-pop"), (flow,))


def _path(
    lab: Lab, name: str, host: tuple[str, str], pop: tuple[str, str], flows: tuple[Flow, ...], first: int = 0
) -> Path:
    """From a host's interface to the Internet's, where this POP is the next."""
    near, far = lab[host[0]], lab["internet"]
    gateways = tuple(neighbour(near, flow.gateway) for flow in flows)
    return Path(
        name,
        End(near, host[1], mac_of(near, host[1]), gateways),
        End(far, pop[1], mac_of(far, pop[1]), (mac_of(lab[pop[0]], "wan"),) * len(flows)),
        flows,
        first,
    )


def count_at_the_internet(lab: Lab, *interfaces: str) -> None:
    """Once, before any path is made: its cables to POPs count from now on."""
    prepare(lab["internet"], interfaces, "198.51.100.0/24")


def count_at_hosts(lab: Lab, interfaces: dict[str, tuple[str, ...]]) -> None:
    """The same of hosts' cables."""
    for host, names in interfaces.items():
        prepare(lab[host], names, "10.0.0.0/8")

"""A topology as the rest of the harness sees it: frozen, complete, already merged and checked.

Topology files are containerlab's (https://containerlab.dev/manual/topo-def-file/); `load` makes these objects.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import MappingProxyType

from harness.topology.impairments import Impairment
from harness.topology.labels import Wan


def _no_entries() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a link: an interface, named by its role, of a node."""

    node: str
    interface: str
    mac: str | None = None

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two interfaces. `mtu` is containerlab's default (9500) unless the file gives one."""

    a: Endpoint
    b: Endpoint
    mtu: int
    labels: Mapping[str, str] = field(default_factory=_no_entries)
    line: int = 0
    impaired: tuple[Impairment, Impairment] = (Impairment(), Impairment())
    """What is declared to be wrong with it, toward `a` and toward `b`."""

    @property
    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        return (self.a, self.b)

    def __str__(self) -> str:
        return f"{self.a} -- {self.b}"


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host seen inside a node. `source` is absolute and existed when it was loaded."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `labels` holds every label; those of ours (`elasticlab.*`) are also decoded into fields."""

    name: str
    kind: str
    image: str
    group: str = ""
    role: str | None = None
    site: str | None = None
    tier: str | None = None
    model: str | None = None
    serial: str | None = None
    wan: Wan = field(default_factory=Wan)
    wan2: Wan | None = None
    bootstrap: tuple[str, ...] = ()
    requires: frozenset[str] = frozenset()
    ready: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=_no_entries)
    binds: tuple[Bind, ...] = ()
    exec: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=_no_entries)
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    cap_add: tuple[str, ...] = ()
    mgmt_ipv4: IPv4Address | None = None
    mgmt_ipv6: IPv6Address | None = None
    labels: Mapping[str, str] = field(default_factory=_no_entries)
    line: int = 0

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """`exec` as argument lists: containerlab splits by the shell's quoting but runs no shell, and so do we."""
        return tuple(tuple(shlex.split(line)) for line in self.exec)

    @property
    def personality(self) -> str | None:
        """`ucpe`, `vmsr` or `vpcgw` for the boxes that get a factory identity, else None."""
        return self.role if self.role in ("ucpe", "vmsr", "vpcgw") else None


@dataclass(frozen=True, slots=True)
class Management:
    """The management network. It never has a way out; where the file names no subnet, the engine chooses."""

    network: str | None = None
    ipv4_subnet: IPv4Network | None = None
    ipv6_subnet: IPv6Network | None = None
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab. `nodes` keeps the order of the file; `requires` is what the lab host's kernel must have."""

    name: str
    path: Path
    nodes: Mapping[str, Node]
    links: tuple[Link, ...] = ()
    mgmt: Management = field(default_factory=Management)
    prefix: str = "clab"
    requires: frozenset[str] = frozenset()

    @property
    def directory(self) -> Path:
        """Where the file lies; `orders/` is beside it."""
        return self.path.parent

    def interfaces(self, node: str) -> tuple[str, ...]:
        """The node's interfaces, in the order of the links (management `eth0` not among them)."""
        return tuple(e.interface for link in self.links for e in link.endpoints if e.node == node)

    def link_at(self, node: str, interface: str) -> Link:
        """The link on an interface; KeyError when there is none."""
        for link in self.links:
            if any((e.node, e.interface) == (node, interface) for e in link.endpoints):
                return link
        raise KeyError(f"{node}:{interface}")

"""What a box knows of its surroundings before it belongs to anybody: ``/factory/day0.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Any

from element.factory import FactoryError

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Uplink:
    """A static uplink, of one family."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class WayOut:
    """An interface to the outside."""

    interface: str
    uplinks: tuple[Uplink, ...]
    dhcp: bool
    """The IPv4 address comes by DHCP."""
    slaac: bool = False
    """The IPv6 address and its router come from router advertisements."""
    dhcp6: bool = False
    """The IPv6 address comes by DHCPv6, its router from router advertisements."""

    def link(self, forwarding: bool) -> Tree:
        """The interface (RFC 8343, RFC 8344)."""
        tree: Tree = {"name": self.interface, "type": "iana-if-type:ethernetCsmacd"}
        if self.dhcp:
            tree |= {"ietf-ip:ipv4": {"forwarding": forwarding}, "elasticlab-interface:dhcp": {}}
        if self.slaac:
            tree |= {"ietf-ip:ipv6": {"forwarding": forwarding}, "elasticlab-interface:slaac": {}}
        if self.dhcp6:
            tree |= {"ietf-ip:ipv6": {"forwarding": forwarding}, "elasticlab-interface:dhcp6": {}}
        for uplink in self.uplinks:
            own = uplink.address
            address = {"ip": str(own.ip), "prefix-length": own.network.prefixlen}
            tree[f"ietf-ip:ipv{own.version}"] = {"forwarding": forwarding, "address": [address]}
        return tree

    def routes(self) -> Tree:
        """Default routes (RFC 8349, appendix A)."""
        routes: Tree = {}
        for uplink in self.uplinks:
            family = f"ipv{uplink.address.version}"
            anywhere = "0.0.0.0/0" if family == "ipv4" else "::/0"
            route = {"destination-prefix": anywhere, "next-hop": {"next-hop-address": str(uplink.gateway)}}
            routes[f"ietf-{family}-unicast-routing:{family}"] = {"route": [route]}
        return routes


@dataclass(frozen=True, slots=True)
class Day0:
    """The ways out, and bootstrap servers that are asked if nobody names others (RFC 8572, section 4)."""

    first: WayOut
    servers: tuple[str, ...]
    second: WayOut | None = None
    """Used while the first leads nowhere."""

    @property
    def interface(self) -> str:
        """Of the first way out."""
        return self.first.interface

    def ask(self, leased: tuple[str, ...] | None) -> tuple[str, ...]:
        """Whom to ask now: servers of the lease before those of the factory (RFC 8572, section 4), each once.

        Nobody before the lease (None) that brings the address: a question without one hangs until its time is over.
        """
        servers = dict.fromkeys((*(leased or ()), *self.servers))
        if leased is None and self.first.dhcp:
            six = self.first.uplinks or self.first.slaac or self.first.dhcp6
            return tuple(url for url in servers if "[" in url and six)
        return tuple(servers)

    def configuration(self, forwarding: bool) -> Tree:
        """The configuration that the box starts with: its ways out, and nothing else."""
        ways = {"underlay": self.first} | ({f"underlay-{self.second.interface}": self.second} if self.second else {})
        tree: Tree = {"ietf-interfaces:interfaces": {"interface": [way.link(forwarding) for way in ways.values()]}}
        # Each in a protocol instance of its own: one has one route to a destination (RFC 8349, appendix A).
        if protocols := [
            {"type": "ietf-routing:static", "name": name, "static-routes": routes}
            for name, way in ways.items()
            if (routes := way.routes())
        ]:
            tree["ietf-routing:routing"] = {"control-plane-protocols": {"control-plane-protocol": protocols}}
        return tree


_FAMILIES = {"": 4, "6": 6}
"""Versions of IP by what the file's names end in."""


def read(factory: Path) -> Day0:
    """Read the file."""
    path = factory / "day0.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        servers = data["bootstrap-servers"]
        if not all(isinstance(url, str) for url in servers):
            raise ValueError("bootstrap-servers is no list of URLs")
        second = _way_out(data["wan2"]) if "wan2" in data else None
        return Day0(_way_out(data["wan"]), tuple(servers), second)
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box does not know its uplink") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FactoryError(f"{path} makes no sense: {error!r}") from None


def _way_out(wan: Tree) -> WayOut:
    uplinks = tuple(_uplink(wan, family) for family in _FAMILIES if f"address{family}" in wan)
    dhcp, slaac, dhcp6 = _given(wan, "dhcp", ""), _given(wan, "slaac", "6"), _given(wan, "dhcp6", "6")
    way = WayOut(str(wan["interface"]), uplinks, dhcp, slaac, dhcp6)
    if not (dhcp or slaac or dhcp6 or uplinks):
        raise ValueError("wan has no address")
    if slaac and dhcp6:
        raise ValueError("wan has slaac and dhcp6: one or the other")
    return way


def _given(wan: Tree, how: str, family: str) -> bool:
    """Does the address of a family come in this way?"""
    is_given = wan.get(how, False)
    if not isinstance(is_given, bool):
        raise ValueError(f"wan/{how} is neither true nor false")
    if is_given and (static := {f"address{family}", f"gateway{family}"} & set(wan)):
        raise ValueError(f"wan has {how} and {' and '.join(sorted(static))}: one or the other")
    return is_given


def _uplink(wan: Tree, family: str) -> Uplink:
    address, gateway = ip_interface(wan[f"address{family}"]), ip_address(wan[f"gateway{family}"])
    if address.version != _FAMILIES[family]:
        raise ValueError(f"{address} is not of IPv{_FAMILIES[family]}")
    if gateway not in address.network:
        raise ValueError(f"the gateway {gateway} is not on the network {address.network}")
    return Uplink(address, gateway)

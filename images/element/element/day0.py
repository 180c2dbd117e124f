"""What a box knows of its surroundings before it belongs to anybody: ``/factory/day0.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from element.factory import FactoryError

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Uplink:
    """A static uplink."""

    address: IPv4Interface
    gateway: IPv4Address


@dataclass(frozen=True, slots=True)
class Day0:
    """The uplink, and bootstrap servers that are asked if nobody names others (RFC 8572, section 4)."""

    interface: str
    uplink: Uplink | None
    """None: the address comes by DHCP."""
    servers: tuple[str, ...]
    second: tuple[str, Uplink | None] | None = None
    """Another interface to the outside, used while the first leads nowhere; None as its uplink: by DHCP."""

    def ask(self, leased: tuple[str, ...] | None) -> tuple[str, ...]:
        """Whom to ask now: servers of the lease before those of the factory (RFC 8572, section 4), each once.

        Nobody before the lease (None) that brings the address: a question without one hangs until its time is over.
        """
        if leased is None and self.uplink is None:
            return ()
        return tuple(dict.fromkeys((*(leased or ()), *self.servers)))

    def configuration(self, forwarding: bool) -> Tree:
        """The configuration that the box starts with: its ways out, and nothing else."""
        ways = [("underlay", self.interface, self.uplink)]
        if self.second:
            ways.append((f"underlay-{self.second[0]}", *self.second))
        tree: Tree = {
            "ietf-interfaces:interfaces": {"interface": [_interface(name, way, forwarding) for _, name, way in ways]}
        }
        if protocols := [_default_route(protocol, way) for protocol, _, way in ways if way]:
            tree["ietf-routing:routing"] = {"control-plane-protocols": {"control-plane-protocol": protocols}}
        return tree


def _interface(name: str, uplink: Uplink | None, forwarding: bool) -> Tree:
    ipv4: Tree = {"forwarding": forwarding}
    tree: Tree = {"name": name, "type": "iana-if-type:ethernetCsmacd", "ietf-ip:ipv4": ipv4}
    if uplink is None:
        tree["elasticlab-interface:dhcp"] = {}
    else:
        ipv4["address"] = [{"ip": str(uplink.address.ip), "prefix-length": uplink.address.network.prefixlen}]
    return tree


def _default_route(protocol: str, uplink: Uplink) -> Tree:
    """In a protocol instance of its own: one has one route to a destination (RFC 8349, appendix A)."""
    route = {"destination-prefix": "0.0.0.0/0", "next-hop": {"next-hop-address": str(uplink.gateway)}}
    return {
        "type": "ietf-routing:static",
        "name": protocol,
        "static-routes": {"ietf-ipv4-unicast-routing:ipv4": {"route": [route]}},
    }


def read(factory: Path) -> Day0:
    """Read the file."""
    path = factory / "day0.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        wan, servers = data["wan"], data["bootstrap-servers"]
        if not all(isinstance(url, str) for url in servers):
            raise ValueError("bootstrap-servers is no list of URLs")
        second = (str(data["wan2"]["interface"]), _uplink(data["wan2"])) if "wan2" in data else None
        return Day0(str(wan["interface"]), _uplink(wan), tuple(servers), second)
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box does not know its uplink") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FactoryError(f"{path} makes no sense: {error!r}") from None


def _uplink(wan: Tree) -> Uplink | None:
    if wan.get("dhcp", False) is True:
        if given := {"address", "gateway"} & set(wan):
            raise ValueError(f"an uplink has dhcp and {' and '.join(sorted(given))}: one or the other")
        return None
    if wan.get("dhcp", False) is not False:
        raise ValueError("wan/dhcp is neither true nor false")
    address, gateway = IPv4Interface(wan["address"]), IPv4Address(wan["gateway"])
    if gateway not in address.network:
        raise ValueError(f"the gateway {gateway} is not on the network {address.network}")
    return Uplink(address, gateway)

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

    def ask(self, leased: tuple[str, ...] | None) -> tuple[str, ...]:
        """Whom to ask now: servers of the lease before those of the factory (RFC 8572, section 4), each once.

        Nobody before the lease (None) that brings the address: a question without one hangs until its time is over.
        """
        if leased is None and self.uplink is None:
            return ()
        return tuple(dict.fromkeys((*(leased or ()), *self.servers)))

    def configuration(self, forwarding: bool) -> Tree:
        """The configuration that the box starts with: its way out, and nothing else."""
        ipv4: Tree = {"forwarding": forwarding}
        wan: Tree = {"name": self.interface, "type": "iana-if-type:ethernetCsmacd", "ietf-ip:ipv4": ipv4}
        if self.uplink is None:
            wan["elasticlab-interface:dhcp"] = {}
            return {"ietf-interfaces:interfaces": {"interface": [wan]}}
        own = self.uplink.address
        ipv4["address"] = [{"ip": str(own.ip), "prefix-length": own.network.prefixlen}]
        route = {"destination-prefix": "0.0.0.0/0", "next-hop": {"next-hop-address": str(self.uplink.gateway)}}
        underlay = {
            "type": "ietf-routing:static",
            "name": "underlay",
            "static-routes": {"ietf-ipv4-unicast-routing:ipv4": {"route": [route]}},
        }
        return {
            "ietf-interfaces:interfaces": {"interface": [wan]},
            "ietf-routing:routing": {"control-plane-protocols": {"control-plane-protocol": [underlay]}},
        }


def read(factory: Path) -> Day0:
    """Read the file."""
    path = factory / "day0.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        wan, servers = data["wan"], data["bootstrap-servers"]
        if not all(isinstance(url, str) for url in servers):
            raise ValueError("bootstrap-servers is no list of URLs")
        return Day0(str(wan["interface"]), _uplink(wan), tuple(servers))
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box does not know its uplink") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FactoryError(f"{path} makes no sense: {error!r}") from None


def _uplink(wan: Tree) -> Uplink | None:
    if wan.get("dhcp", False) is True:
        if given := {"address", "gateway"} & set(wan):
            raise ValueError(f"wan has dhcp and {' and '.join(sorted(given))}: one or the other")
        return None
    if wan.get("dhcp", False) is not False:
        raise ValueError("wan/dhcp is neither true nor false")
    address, gateway = IPv4Interface(wan["address"]), IPv4Address(wan["gateway"])
    if gateway not in address.network:
        raise ValueError(f"the gateway {gateway} is not on the network {address.network}")
    return Uplink(address, gateway)

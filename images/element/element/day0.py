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
class Day0:
    """The uplink, and bootstrap servers that are asked if nobody names others (RFC 8572, section 4)."""

    interface: str
    address: IPv4Interface
    gateway: IPv4Address
    servers: tuple[str, ...]

    def configuration(self, forwarding: bool) -> Tree:
        """The configuration that the box starts with: its way out, and nothing else."""
        wan = {
            "name": self.interface,
            "type": "iana-if-type:ethernetCsmacd",
            "ietf-ip:ipv4": {
                "forwarding": forwarding,
                "address": [{"ip": str(self.address.ip), "prefix-length": self.address.network.prefixlen}],
            },
        }
        route = {"destination-prefix": "0.0.0.0/0", "next-hop": {"next-hop-address": str(self.gateway)}}
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
        address, gateway = IPv4Interface(wan["address"]), IPv4Address(wan["gateway"])
        if gateway not in address.network:
            raise ValueError(f"the gateway {gateway} is not on the network {address.network}")
        return Day0(str(wan["interface"]), address, gateway, tuple(servers))
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box does not know its uplink") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FactoryError(f"{path} makes no sense: {error!r}") from None

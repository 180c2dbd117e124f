"""What a machine must know before anyone has configured it: its way out, and whom it asks who it is to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface


@dataclass(frozen=True, slots=True)
class Wan:
    """How an uplink gets its address: as given here, or, without any, by DHCP."""

    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    interface: str = "wan"

    def as_json(self) -> dict[str, object]:
        if self.address is None:
            return {"interface": self.interface, "dhcp": True}
        return {"interface": self.interface, "address": str(self.address), "gateway": str(self.gateway)}


@dataclass(frozen=True, slots=True)
class Day0:
    """`day0.json`. `bootstrap_servers` are URLs, asked after those that DHCP names (RFC 8572, sections 4.2 and 4.4)."""

    wan: Wan = Wan()
    bootstrap_servers: tuple[str, ...] = ()
    second: Wan | None = None
    """Another uplink; the first is used while it leads somewhere."""

    def encoded(self) -> bytes:
        content: dict[str, object] = {
            "wan": self.wan.as_json(),
            "bootstrap-servers": list(self.bootstrap_servers),
        }
        if self.second:
            content["wan2"] = self.second.as_json()
        return json.dumps(content, indent=2).encode() + b"\n"

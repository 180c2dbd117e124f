"""What a machine must know before anyone has configured it: its way out, and whom it asks who it is to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface


@dataclass(frozen=True, slots=True)
class Wan:
    """How an uplink gets its addresses: as given here; from routers (SLAAC); by DHCP or DHCPv6 if told to, by DHCP
    if told nothing."""

    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    dhcp: bool = False
    interface: str = "wan"
    slaac: bool = False
    dhcp6: bool = False

    @property
    def reached(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The addresses that are known beforehand."""
        return tuple(one.ip for one in (self.address, self.address6) if one is not None)

    def as_json(self) -> dict[str, object]:
        content: dict[str, object] = {"interface": self.interface}
        if self.dhcp or not (self.reached or self.slaac or self.dhcp6):
            content |= {"dhcp": True}
        if self.slaac:
            content |= {"slaac": True}
        if self.dhcp6:
            content |= {"dhcp6": True}
        if self.address is not None:
            content |= {"address": str(self.address), "gateway": str(self.gateway)}
        if self.address6 is not None:
            content |= {"address6": str(self.address6), "gateway6": str(self.gateway6)}
        return content


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

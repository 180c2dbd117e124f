"""A site and its access, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

from yangkit.paths import quoted

ROOT = "ietf-l3vpn-svc:l3vpn-svc"
Network = IPv4Network | IPv6Network


class Mode(StrEnum):
    """How a site's packets come to the POP (elasticlab-access, mode)."""

    ROUTED = "routed"
    BRIDGED = "bridged"


class Encapsulation(StrEnum):
    """What carries them (elasticlab-access, encapsulation)."""

    GRE = "gre"
    VXLAN = "vxlan"
    NONE = "none"

    @property
    def mtu(self) -> int:
        """Largest IP packet that the site may send, inside of IPsec on a path of 1500 octets."""
        return {"gre": 1414, "vxlan": 1388, "none": 1438}[self.value]


class Transport(StrEnum):
    """What the tunnel runs over (elasticlab-access, transport)."""

    IPSEC = "ipsec"
    PRIVATE_LINE = "private-line"


class Exit(StrEnum):
    """Where packets leave for the Internet (elasticlab-access, exit)."""

    LOCAL = "local"
    POP = "pop"


@dataclass(frozen=True, slots=True)
class Rule:
    """Which packets leave where."""

    name: str
    matches: Mapping[str, Any]
    """As elasticlab-nat has them; nothing is any packet."""
    action: Exit


@dataclass(frozen=True, slots=True)
class LocalInternet:
    """Packets for the Internet leave at the site's own uplink, or at the POP: the first rule decides."""

    rules: tuple[Rule, ...] = ()
    default: Exit = Exit.LOCAL

    @property
    def uses_pop(self) -> bool:
        """May packets leave at the POP?"""
        return Exit.POP in {self.default, *(rule.action for rule in self.rules)}


@dataclass(frozen=True, slots=True)
class Dhcp:
    """Addresses that the gateway gives (RFC 8299, section 6.10.1)."""

    start: IPv4Address
    end: IPv4Address


@dataclass(frozen=True, slots=True)
class Dns:
    """Names that the gateway answers for."""

    domain: str | None = None
    forwarders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """A site and its access."""

    id: str
    access: str
    device: str
    port: str
    mode: Mode
    vlan: int | None
    gateway: IPv4Interface
    vpns: tuple[str, ...]
    encapsulation: Encapsulation
    transport: Transport = Transport.IPSEC
    gateway6: IPv6Interface | None = None
    slaac: bool = False
    """Does the gateway advertise its IPv6 prefix?"""
    dhcp: Dhcp | None = None
    dns: Dns | None = None
    local_internet: LocalInternet | None = None

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return f"/{ROOT}/sites/site[site-id={quoted(self.id)}]"

    @property
    def access_path(self) -> str:
        """Where its site-network-access is."""
        key = quoted(self.access)
        return f"{self.path}/site-network-accesses/site-network-access[site-network-access-id={key}]"

    @property
    def box_path(self) -> str:
        """Where our augmentation is."""
        return f"{self.access_path}/elasticlab-access:access"

    @property
    def networks(self) -> tuple[Network, ...]:
        """The prefixes of its LAN."""
        return (self.gateway.network,) if self.gateway6 is None else (self.gateway.network, self.gateway6.network)

    @property
    def plain(self) -> bool:
        """Do its packets travel in IPsec themselves, selected by its prefixes?"""
        return self.encapsulation is Encapsulation.NONE

    @property
    def on_line(self) -> bool:
        """Does it come over the operator's own line?"""
        return self.transport is Transport.PRIVATE_LINE

    @property
    def knows_peers(self) -> bool:
        """Is its configuration another one when the prefixes that it reaches are?"""
        return self.plain or self.local_internet is not None

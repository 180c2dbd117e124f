"""A lease as the rest of the element sees it, and the strict way to it from what udhcpc was told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Any

from element.dhcp import option143
from element.model import Config, Granted

log = logging.getLogger(__name__)

LARGEST = 8192
SHORTEST = 10
FOREVER = 0xFFFFFFFF
"""Seconds of a lease without an end (RFC 2131, section 3.3; RFC 9915, section 7.7)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What an interface was given."""

    address: IPv4Interface | IPv6Interface
    router: IPv4Address | None
    """None in IPv6: routers say themselves that they are there."""
    servers: tuple[str, ...]
    ends: float | None = field(compare=False)
    """On the clock that counts from the machine's start; a renewal that changes nothing else is no change."""


class LeaseError(ValueError):
    """A lease that is not taken, and why."""


def parse(content: bytes) -> Lease:
    """The lease that the script put down.

    Raises:
        LeaseError: something in it makes no sense; then nothing of it is taken.
    """
    return _parse(content, _lease)


def parse6(content: bytes) -> Lease:
    """The same of a lease of DHCPv6 (RFC 9915, section 21.6).

    Raises:
        LeaseError: as above.
    """
    return _parse(content, _lease6)


def _parse(content: bytes, lease: Callable[[dict[str, Any]], Lease]) -> Lease:
    if len(content) > LARGEST:
        raise LeaseError(f"it has {len(content)} octets, more than {LARGEST}")
    try:
        return lease(json.loads(content))
    except LeaseError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LeaseError(f"it makes no sense: {error}") from None


def _lease(data: dict[str, Any]) -> Lease:
    address = _address(data)
    return Lease(address, _router(data, address), option143.parse(bytes.fromhex(data["option-143"])), _ends(data))


def _lease6(data: dict[str, Any]) -> Lease:
    """An address alone: which others are on the link is for routers to say (RFC 5942, section 4)."""
    address = IPv6Interface(str(data["address"]))
    own = address.ip
    special = own.is_link_local or own.is_multicast or own.is_loopback or own.is_unspecified or own.is_site_local
    if special or own.ipv4_mapped or address.network.prefixlen != 128 or address.scope_id:
        raise LeaseError(f"{address} is not an address that a host can have")
    return Lease(address, None, (), _ends(data))


def _address(data: dict[str, Any]) -> IPv4Interface:
    length = int(data["prefix-length"])
    if not 8 <= length <= 31:
        raise LeaseError(f"a network of prefix length {length} is no uplink's")
    interface = IPv4Interface((str(data["address"]), length))
    network = interface.network
    ends = {network.network_address, network.broadcast_address} if length < 31 else set()
    if not option143.usable(interface.ip) or interface.ip in ends:
        raise LeaseError(f"{interface} is not an address that a host can have")
    return interface


def _router(data: dict[str, Any], own: IPv4Interface) -> IPv4Address | None:
    """The first router, which the server prefers (RFC 2132, section 3.5)."""
    routers = [IPv4Address(text) for text in str(data["routers"]).split()]
    if not routers:
        return None
    if routers[0] not in own.network or routers[0] == own.ip:
        raise LeaseError(f"the router {routers[0]} is not a neighbour on {own.network}")
    return routers[0]


def _ends(data: dict[str, Any]) -> float | None:
    seconds = int(data["lease-time"])
    if not SHORTEST <= seconds <= FOREVER:
        raise LeaseError(f"a lease of {seconds} s is none")
    return None if seconds == FOREVER else float(data["at"]) + seconds


def asking(config: Config, version: int) -> frozenset[str]:
    """The interfaces that have their addresses of this version of IP from DHCP."""
    return frozenset(i.name for i in config.interfaces if i.enabled and (i.dhcp6 if version == 6 else i.dhcp))


def granted(config: Config, leases: Mapping[str, Lease]) -> tuple[Granted, ...]:
    """What the leases mean for a configuration; one that takes something from it is told and left out."""
    result = []
    for name, lease in sorted(leases.items()):
        if name not in asking(config, lease.address.version):
            continue
        if reason := conflict(config, name, lease):
            log.error("%s: the lease is not used: %s", name, reason)
            continue
        result.append(Granted(name, str(lease.address), str(lease.router) if lease.router else None))
    return tuple(result)


def conflict(config: Config, interface: str, lease: Lease) -> str | None:
    """What in the configuration the lease would take away: no DHCP server draws the overlay's traffic to itself."""
    network = lease.address.network
    for other in config.interfaces:
        if other.name == interface or other.tenant is not None:
            continue
        for address in other.addresses:
            if network.overlaps(ip_interface(address).network):  # of the other family: never
                return f"its network {network} overlaps {address} of interface {other.name}"
    for connection in config.connections:
        for flow in connection.flows:
            if config.interface(flow.interface).tenant is not None:
                continue  # what a tenant has is in a routing domain of its own
            for prefix in (*flow.local, *flow.remote):
                if network.overlaps(ip_network(prefix)):
                    return f"its network {network} overlaps {prefix} of connection {connection.name}"
    return None

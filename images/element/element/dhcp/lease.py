"""A lease as the rest of the element sees it, and the strict way to it from what udhcpc was told."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, ip_interface, ip_network
from typing import Any

from element.dhcp import option143
from element.model import Config, Granted

log = logging.getLogger(__name__)

LARGEST = 8192
SHORTEST = 10
FOREVER = 0xFFFFFFFF
"""Seconds of a lease without an end (RFC 2131, section 3.3)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What an interface was given."""

    address: IPv4Interface
    router: IPv4Address | None
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
    if len(content) > LARGEST:
        raise LeaseError(f"it has {len(content)} octets, more than {LARGEST}")
    try:
        data = json.loads(content)
        address = _address(data)
        return Lease(address, _router(data, address), option143.parse(bytes.fromhex(data["option-143"])), _ends(data))
    except LeaseError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LeaseError(f"it makes no sense: {error}") from None


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


def granted(config: Config, leases: Mapping[str, Lease]) -> tuple[Granted, ...]:
    """What the leases mean for a configuration; one that takes something from it is told and left out."""
    result = []
    for name, lease in sorted(leases.items()):
        if not any(i.name == name and i.dhcp and i.enabled for i in config.interfaces):
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

"""Several ways to the outside by IPv4: which there are, in which order they are used, what that means for routes.

The main table holds a default route of each, the preferred one with the lowest metric. A packet that has an uplink's
address as its source leaves by that uplink whatever is preferred, by a table of the uplink's own: so a tunnel can be
moved from one to the other (RFC 4555) before the old way is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, ip_interface

from element.model import Config, Interface
from element.plan.resources import Resource, Route, Rule

DEFAULT = "0.0.0.0/0"
MAIN_TABLE = 254
FIRST_TABLE = 700
SOURCE_PRIORITY = 1100
"""After the rules of tenants, whose packets may have any address, and after what is the box's own."""
STEP = 100
"""Between the metrics of two uplinks; what leads nowhere comes after all that may."""
LEADS_NOWHERE = 100 * STEP


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface with a default route."""

    name: str
    gateway: str
    addresses: tuple[str, ...]


def find(config: Config) -> tuple[Uplink, ...]:
    """The uplinks, the preferred one first: in the order of their names."""
    found = {}
    for grant in config.granted:
        if grant.router:
            found[grant.interface] = Uplink(grant.interface, grant.router, (grant.address,))
    for route in config.routes:
        if route.tenant is None and route.prefix == DEFAULT and route.gateway:
            interface = _neighbour(config, route.gateway)
            if interface is not None:
                found[interface.name] = Uplink(interface.name, route.gateway, _ipv4(interface))
    return tuple(found[name] for name in sorted(found))


def _neighbour(config: Config, gateway: str) -> Interface | None:
    address = IPv4Address(gateway)
    for interface in config.interfaces:
        if interface.tenant is None and any(address in IPv4Interface(a).network for a in _ipv4(interface)):
            return interface
    return None


def _ipv4(interface: Interface) -> tuple[str, ...]:
    return tuple(address for address in interface.addresses if ip_interface(address).version == 4)


def order(config: Config) -> tuple[str, ...]:
    """The names of the uplinks as they are to be used now: those that lead nowhere come last."""
    return tuple(sorted((uplink.name for uplink in find(config)), key=lambda name: (name in config.failed, name)))


def resources(config: Config) -> Iterator[Resource]:
    """Routes and rules of a box with several uplinks; nothing for one with a single one."""
    uplinks = find(config)
    if len(uplinks) < 2:
        return
    preferred = order(config)
    for number, uplink in enumerate(uplinks):
        metric = STEP * preferred.index(uplink.name) + (LEADS_NOWHERE if uplink.name in config.failed else 0)
        yield Route(MAIN_TABLE, DEFAULT, metric=metric, gateway=uplink.gateway, link=uplink.name)
        table = FIRST_TABLE + number
        yield Route(table, DEFAULT, gateway=uplink.gateway, link=uplink.name)
        for address in uplink.addresses:
            own = IPv4Interface(address)
            yield Route(table, str(own.network), link=uplink.name)
            yield Rule(SOURCE_PRIORITY, table=table, link="lo", source=str(own.ip))

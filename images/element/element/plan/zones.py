"""The packet filter's part for conntrack: a tenant's connections are its own, whatever their addresses and ports are.

A zone has two halves. What stays inside a tenant has the tenant's in both directions: equal connections of two tenants
are two. What is translated on its way to the Internet can have it in its first direction only, because answers arrive
in the underlay, with nothing to tell their tenant but the connection itself; they are told apart by the translation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_interface, ip_network

from element.model import Config, Tenant

COUNTERS = ("reply-imitated",)

_ANYTHING = frozenset({"0.0.0.0/0", "::/0"})
_ON_LINK = ("224.0.0.0/4", "255.255.255.255/32", "fe80::/10", "ff00::/8")
"""Never translated."""


def chains(config: Config) -> Iterator[tuple[str, list[str]]]:
    """A chain for each tenant, by name: the zone by where a packet goes."""
    return ((_chain(tenant), list(_zone(config, tenant))) for tenant in config.tenants)


def by(config: Config, direction: str) -> Iterator[str]:
    """The tenant is told by the VRF device and by its members."""
    jumps = [
        f'"{name}" : jump {_chain(tenant)}'
        for tenant in config.tenants
        for name in (tenant.name, *(i.name for i in config.members(tenant.name)))
    ]
    if jumps:
        yield f"{direction} vmap {{ {', '.join(jumps)} }}"


def answers(config: Config) -> Iterator[str]:
    """What answers a translated connection goes to the address of the translation, and comes from outside: from inside
    it would be taken for the answer to another tenant's."""
    if len(config.tenants) < 2:
        return
    members = ", ".join(f'"{i.name}"' for t in config.tenants for i in config.members(t.name))
    if not members:
        return
    for family, addresses in _families(_translated(config)):
        refused = 'counter name "reply-imitated" drop'
        yield f"iifname {{ {members} }} {family} daddr {{ {', '.join(addresses)} }} {refused}"


def _chain(tenant: Tenant) -> str:
    return f"zone-{tenant.id}"


def _zone(config: Config, tenant: Tenant) -> Iterator[str]:
    ways = [way for way in config.breakouts if way.tenant == tenant.name]
    inside = set(_inside(config, tenant))
    if not ways:
        yield f"ct zone set {tenant.id}"
        return
    # Where a policy decides, or the rest of the world is inside, too, the target does not say which way it is.
    if not any(way.policy for way in ways) and not inside & _ANYTHING:
        for family, prefixes in _families({*inside, *_ON_LINK}):
            yield f"{family} daddr {{ {', '.join(prefixes)} }} ct zone set {tenant.id} return"
    yield f"ct original zone set {tenant.id}"


def _inside(config: Config, tenant: Tenant) -> Iterator[str]:
    """The prefixes that the tenant's interfaces lead to."""
    members = config.members(tenant.name)
    for interface in members:
        yield from (str(ip_interface(address).network) for address in interface.addresses)
    names = {interface.name for interface in members}
    for route in config.routes:
        if route.tenant == tenant.name and (route.interface is None or route.interface in names):
            yield str(ip_network(route.prefix, strict=False))
    for connection in config.connections:
        for flow in connection.flows:
            if flow.interface in names:
                yield from (str(ip_network(prefix, strict=False)) for prefix in flow.remote)


def _translated(config: Config) -> Iterator[str]:
    """The addresses that tenants have outside."""
    for way in config.breakouts:
        outside = [*config.interface(way.interface).addresses]
        outside += [grant.address for grant in config.granted if grant.interface == way.interface]
        yield from (address.partition("/")[0] for address in outside)
        if way.address:
            yield way.address


def _families(found: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Addresses or prefixes with what nft calls their family, none inside of another: sets have no overlaps."""
    networks = [ip_network(one) for one in found]
    for family, of_family in (
        ("ip", collapse_addresses(n for n in networks if isinstance(n, IPv4Network))),
        ("ip6", collapse_addresses(n for n in networks if isinstance(n, IPv6Network))),
    ):
        if apart := [str(network) for network in of_family]:
            yield family, apart

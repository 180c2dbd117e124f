"""What a configuration means for the kernel and charon: the wanted table of resources.

The overlay (why: RFC 4301's policies fail open when charon is gone, and addresses behind NAT are not unique):
selectors are loopbacks, each peer's loopback is routed only through its own xfrm interface, with a blackhole behind;
tunnels end on the loopbacks. The inner side: a VRF and a conntrack zone a tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, ip_network

from element.model import Config, Interface, Kind, StaticRoute, UnsupportedError
from element.plan import firewall, ike, uplinks
from element.plan.resources import (
    MANAGEMENT,
    Address,
    Link,
    Resource,
    Route,
    Rule,
    Setting,
    StationEntry,
    Table,
    Vlan,
    table,
)

MAIN_TABLE = 254
RULE_PRIORITY = 900
"""Rules for translated replies come before the VRFs' own (1000)."""
VRF_RULE_PRIORITY = 1000
LEASE_METRIC = 100
"""A default route that is configured goes before one of a lease."""
LAST_METRIC = 0xFEFFFFFF
"""Metric of routes of last resort, above any other."""

SETTINGS = {
    # A box answers ARP only for addresses of the interface that is asked, and asks with such an address: loopbacks
    # and tenants' gateways are not announced on the WAN or the management network.
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    # Replies from the Internet arrive in another routing domain than their requests left.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    # Nothing that arrives on the management network is ever forwarded.
    f"net/ipv4/conf/{MANAGEMENT}/forwarding": "0",
    f"net/ipv6/conf/{MANAGEMENT}/forwarding": "0",
    # Bridged frames are filtered by the bridge table, not passed off as routed packets.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}

_KERNEL_KIND = {
    Kind.ETHERNET: "port",
    Kind.LOOPBACK: "dummy",
    Kind.BRIDGE: "bridge",
    Kind.IPSEC: "xfrm",
    Kind.GRE: "gre",
    Kind.VXLAN: "vxlan",
}


def desired(config: Config) -> Table:
    """All resources that the configuration asks for."""
    return table(_resources(config))


def _resources(config: Config) -> Iterator[Resource]:
    yield firewall.ruleset(config)
    yield from (Setting(name, value) for name, value in SETTINGS.items())
    yield from _tenants(config)
    for interface in config.interfaces:
        yield from _interface(config, interface)
    several = len(uplinks.find(config)) > 1
    for route in config.routes:
        if not (several and route.tenant is None and route.prefix == uplinks.DEFAULT and route.gateway):
            yield _static(config, route)
    yield from uplinks.resources(config)
    for grant in config.granted:
        yield Address(grant.interface, grant.address)
        if grant.router and not several:
            yield Route(MAIN_TABLE, "0.0.0.0/0", metric=LEASE_METRIC, gateway=grant.router, link=grant.interface)
    for connection in config.connections:
        local = connection.local_prefix.partition("/")[0]
        prefix = connection.remote_prefix
        yield Route(MAIN_TABLE, prefix, metric=1, link=connection.interface, source=local)
        yield Route(MAIN_TABLE, prefix, metric=LAST_METRIC, kind="blackhole")
    yield from ike.resources(config)


def _tenants(config: Config) -> Iterator[Resource]:
    for tenant in config.tenants:
        yield Link(tenant.name, "vrf", table=tenant.table, forwarding=True)
        # Without it a packet that finds no route in the VRF goes on to the underlay's table.
        yield Route(tenant.table, "0.0.0.0/0", metric=LAST_METRIC, kind="unreachable")
    if config.tenants:
        yield Rule(VRF_RULE_PRIORITY)
    for breakout in config.breakouts:
        tenant = config.tenant(breakout.tenant)
        yield Rule(RULE_PRIORITY, mark=tenant.id, table=tenant.table, link=breakout.interface)


def _interface(config: Config, interface: Interface) -> Iterator[Resource]:
    if interface.name == MANAGEMENT:
        raise UnsupportedError(
            f"{MANAGEMENT} is the management interface; it has its address from outside",
            f"/ietf-interfaces:interfaces/interface[name='{MANAGEMENT}']",
        )
    yield _link(interface)
    for address in interface.addresses:
        yield Address(interface.name, address)
    if interface.port:
        for vid in interface.port.tagged_vlans:
            yield Vlan(interface.name, vid, pvid=False, untagged=False)
        if (access := interface.port.access_vlan) is not None:
            yield Vlan(interface.name, access, pvid=True, untagged=True)
    if interface.bridge:
        for station in interface.bridge.stations:
            yield StationEntry(station.port, station.mac, station.vlan or 0)


def _link(interface: Interface) -> Link:
    tunnel = interface.tunnel
    port = interface.port
    kind = _KERNEL_KIND[interface.kind]
    return Link(
        interface.name,
        kind,
        up=interface.enabled,
        mtu=interface.mtu,
        mac=interface.bridge.mac if interface.bridge else None,
        master=port.bridge if port else interface.tenant or "",
        forwarding=interface.forwarding,
        if_id=interface.if_id,
        vni=tunnel.vni if tunnel else None,
        local=tunnel.local if tunnel else None,
        remote=tunnel.remote if tunnel else None,
        # A VXLAN device bound to a link could not be larger than the link carries, and would drop what it can well
        # fragment; its packets find the tunnel by the route, which has no way around.
        underlay=tunnel.underlay if tunnel and kind == "gre" else None,
        vlan_aware=interface.bridge.vlan_aware if interface.bridge else None,
        learning=port.learning if port else None,
    )


def _static(config: Config, route: StaticRoute) -> Route:
    number = config.tenant(route.tenant).table if route.tenant else MAIN_TABLE
    prefix = str(ip_network(route.prefix, strict=False))
    if route.special:
        return Route(number, prefix, kind=route.special)
    link = route.interface or _connected(config, route)
    _check_exit(config, route, link)
    return Route(number, prefix, gateway=route.gateway or "", link=link)


def _check_exit(config: Config, route: StaticRoute, link: str) -> None:
    """A route stays in its domain; only a breakout, whose packets are translated, leads out of a tenant."""
    allowed = {i.name for i in config.interfaces if i.tenant == route.tenant and i.port is None}
    if route.tenant:
        allowed |= {b.interface for b in config.breakouts if b.tenant == route.tenant}
    if link not in allowed:
        domain = f"tenant {route.tenant}" if route.tenant else "the underlay"
        raise UnsupportedError(
            f"route {route.prefix}: interface {link} is not one of {domain}, nor its way to the Internet",
            "/ietf-routing:routing",
        )


def _connected(config: Config, route: StaticRoute) -> str:
    """The interface, in the route's own domain, on whose network the gateway is."""
    gateway = IPv4Address(route.gateway or "0.0.0.0")  # noqa: S104 - not a socket
    for interface in config.interfaces:
        if interface.tenant == route.tenant and any(gateway in IPv4Interface(a).network for a in interface.addresses):
            return interface.name
    raise UnsupportedError(
        f"route {route.prefix}: no interface has a network with the next hop {route.gateway}", "/ietf-routing:routing"
    )

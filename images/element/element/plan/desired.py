"""What a configuration means for the kernel and charon: the wanted table of resources.

The overlay (why: RFC 4301's policies fail open when charon is gone, and addresses behind NAT are not unique):
selectors are loopbacks, each peer's loopback is routed only through its own xfrm interface, with a blackhole behind;
tunnels end on the loopbacks. The inner side: a VRF and a conntrack zone a tenant.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network

from element.connections import PATH, Connection, Flow
from element.lan import checks, resolver
from element.model import Config, Interface, Kind, StaticRoute, Tenant
from element.plan import firewall, firewall6, ike, uplinks
from element.plan.breakout import BREAK_OUT
from element.plan.resources import (
    MANAGEMENT,
    Address,
    Link,
    LocalRule,
    Resource,
    Route,
    Rule,
    Setting,
    StationEntry,
    Table,
    Vlan,
)
from element.unsupported import InvalidError, UnsupportedError

MAIN_TABLE = 254
RULE_PRIORITY = 900
"""Rules for translated replies, and for what leaves against a tenant's routes, come before the VRFs' own (1000)."""
VRF_RULE_PRIORITY = 1000
LOCAL_PRIORITY = 1001
"""What is the box's own in the underlay: only what no VRF has routed is looked for there."""
OURS = "fd65:6c61:7374"
"""Our unique local prefix."""
LEASE_METRIC = 100
"""A default route that is configured goes before one of a lease."""
METRIC6 = 1024
"""Of routes that name none: Linux has no IPv6 route of metric 0 and takes this one."""
LAST_METRIC = 0xFEFFFFFF
"""Metric of routes of last resort, above any other."""
ANYTHING = frozenset({"0.0.0.0/0", "::/0"})

FORWARDING6 = "net/ipv6/conf/all/forwarding"
"""Linux forwards IPv6 between all interfaces or none; which ones, the packet filter says."""

SETTINGS = {
    # A box answers ARP only for addresses of the interface that is asked, and asks with such an address: loopbacks
    # and tenants' gateways are not announced on the WAN or the management network.
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    # Replies from the Internet arrive in another routing domain than their requests left.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    # Errors that we send are marked as what they are about: so they find their way (firewall6.senders).
    "net/ipv6/fwmark_reflect": "1",
    # IPv6 is off unless it is configured: whatever is made or plugged in begins without.
    "net/ipv6/conf/default/disable_ipv6": "1",
    FORWARDING6: "0",
    # Nothing that arrives on the management network is ever forwarded.
    f"net/ipv4/conf/{MANAGEMENT}/forwarding": "0",
    f"net/ipv6/conf/{MANAGEMENT}/forwarding": "0",
    # Whatever ends a UDP connection's fast path (new rules) takes this off the time that it has left (flow_offload_
    # fixup_ct): with Linux's 30 s, one that nobody answers would have none, and lose its translation.
    "net/netfilter/nf_flowtable_udp_timeout": "5",
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
    checks.check(config)
    _check_vnis(config)
    found: Table = {}
    for resource in _resources(resolver.attach(config)):
        if resource.key in found:
            what = " ".join(str(part) for part in resource.key)
            raise UnsupportedError(f"{what} is asked for twice", resource.path or "/")
        found[resource.key] = resource
    return found


def _check_vnis(config: Config) -> None:
    """Each is of one interface: Linux has it once."""
    owners: dict[int, str] = {}
    for interface in config.interfaces:
        if interface.tunnel is None or (vni := interface.tunnel.vni) is None:
            continue
        if (other := owners.setdefault(vni, interface.name)) != interface.name:
            raise InvalidError(
                f"interface {interface.name}: VNI {vni} is that of interface {other}; give each site one of its own",
                f"/ietf-interfaces:interfaces/interface[name='{interface.name}']/elasticlab-vxlan:vxlan/vni",
            )


def _resources(config: Config) -> Iterator[Resource]:
    rules = firewall.ruleset(config)
    yield rules
    yield from firewall.flow_table(config, rules)
    forwards6 = {FORWARDING6: "1"} if any(i.forwarding6 for i in config.interfaces) else {}
    yield from (Setting(name, value) for name, value in (SETTINGS | forwards6).items())
    yield from (LocalRule(family, (LOCAL_PRIORITY,)) for family in (4, 6))
    yield from _tenants(config)
    for interface in config.interfaces:
        yield from _interface(config, interface)
    several = len(uplinks.find(config)) > 1
    for route in config.routes:
        if not (several and route.tenant is None and route.prefix == uplinks.DEFAULT and route.gateway):
            yield _static(config, route)
    yield from uplinks.resources(config)
    for grant in config.granted:
        yield Address(grant.interface, grant.address, unsure=grant.version == 6)
        if grant.router and not several:
            yield Route(MAIN_TABLE, "0.0.0.0/0", metric=LEASE_METRIC, gateway=grant.router, link=grant.interface)
    for connection in config.connections:
        for flow in connection.flows:
            yield from _flow(config, connection, flow)
    yield from ike.resources(config)


def _flow(config: Config, connection: Connection, flow: Flow) -> Iterator[Resource]:
    """Ways to the peer's end of a flow: through its interface, and to nowhere when that is gone.

    They are in the routing domain of the interface: a tenant's flow carries the tenant's packets, and it is not for the
    box to say with which address its own leave.
    """
    interface = config.interface(flow.interface)
    tenant = interface.tenant
    number = config.tenant(tenant).table if tenant else MAIN_TABLE
    path = f"{PATH}/conn-entry[name='{connection.name}']/spd/spd-entry[name='{flow.name}']"
    for prefix in flow.remote:
        ipv6 = ":" in prefix
        if ipv6 and not interface.ipv6:
            raise UnsupportedError(f"flow {flow.name}: interface {interface.name} has no IPv6", path)
        anything = prefix in ANYTHING
        if anything and not tenant:
            why = f"the underlay cannot be reached through a tunnel over the underlay, and {prefix} has all of it"
            raise UnsupportedError(f"flow {flow.name}: {why}: give the interface a tenant", path)
        own = [p for p in flow.local if (":" in p) == ipv6]
        source = None if tenant else own[0].partition("/")[0]
        yield Route(number, prefix, METRIC6 + 1 if ipv6 else 1, link=flow.interface, source=source)
        if not anything:  # what a tenant has no route for goes nowhere anyway
            yield Route(number, prefix, LAST_METRIC, kind="blackhole")


def _tracking(config: Config) -> dict[str, str]:
    """Interfaces inside the tunnels of connections that are to be tracked, with the connection's name."""
    under = {flow.interface: c.name for c in config.connections if c.track_routes for flow in c.flows}
    return {i.name: under[i.tunnel.underlay] for i in config.interfaces if i.tunnel and i.tunnel.underlay in under}


def _tenants(config: Config) -> Iterator[Resource]:
    for tenant in config.tenants:
        ipv6 = "router" if any(i.ipv6 for i in config.members(tenant.name)) else "off"
        yield Link(tenant.name, "vrf", table=tenant.table, forwarding=True, ipv6=ipv6)
        if address := _unnumbered(config, tenant):
            yield Address(tenant.name, address)
        # Without it a packet that finds no route in the VRF goes on to the underlay's table.
        for anywhere in ("0.0.0.0/0", "::/0"):
            yield Route(tenant.table, anywhere, metric=LAST_METRIC, kind="unreachable")
    if config.tenants:
        yield Rule(VRF_RULE_PRIORITY)
        yield Rule(VRF_RULE_PRIORITY, family=6)
    for way in config.breakouts:
        tenant = config.tenant(way.tenant)
        for family in (4, 6):
            yield Rule(RULE_PRIORITY, mark=tenant.id, table=tenant.table, link=way.interface, family=family)
            if way.policy:
                yield Rule(RULE_PRIORITY, mark=BREAK_OUT, table=MAIN_TABLE, link=way.tenant, family=family)
        # Errors about packets that were on their way out: Linux asks for the way back where they were going to.
        mark, mask = firewall6.sender(tenant), firewall6.SENDERS
        yield Rule(RULE_PRIORITY, mark, tenant.table, "lo", family=6, mask=mask, protocol=firewall6.ICMPV6)
    if any(way.policy for way in config.breakouts):
        # Without it what is to break out would follow the tenant's routes while the uplink leads nowhere.
        for anywhere in ("0.0.0.0/0", "::/0"):
            yield Route(MAIN_TABLE, anywhere, metric=LAST_METRIC, kind="unreachable")


def _unnumbered(config: Config, tenant: Tenant) -> str | None:
    """An address for the errors that are sent to a tenant (RFC 4443, section 2.2) where it has IPv6 in tunnels only:
    one of our own (RFC 4193), by which a box and a tenant are told apart in traces."""
    members = [i for i in config.members(tenant.name) if i.ipv6]
    if not members or any(":" in address for i in members for address in i.addresses):
        return None
    loopbacks = (a for i in config.of_kind(Kind.LOOPBACK) if i.tenant is None for a in i.addresses if ":" not in a)
    own = next(loopbacks, "1").partition("/")[0]
    return f"{ip_address(f'{OURS}:{tenant.id:x}::{own}')}/128"


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
        mac=interface.bridge.mac if interface.bridge else tunnel.mac if tunnel else None,
        master=port.bridge if port else interface.tenant or "",
        forwarding=interface.forwarding,
        ipv6=("router" if interface.forwarding6 else "host") if interface.ipv6 else "off",
        slaac=interface.slaac,
        dhcp6=interface.dhcp6,
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
    metric = METRIC6 if ":" in prefix else 0
    if route.special:
        return Route(number, prefix, metric, kind=route.special)
    link = route.interface or _connected(config, route)
    _check_exit(config, route, link)
    gateway = str(ip_address(route.gateway)) if route.gateway else ""
    return Route(number, prefix, metric, gateway=gateway, link=link, tracked=_tracking(config).get(link))


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
    gateway = ip_address(route.gateway or "0.0.0.0")  # noqa: S104 - not a socket
    for interface in config.interfaces:
        if interface.tenant == route.tenant and any(gateway in ip_interface(a).network for a in interface.addresses):
            return interface.name
    raise UnsupportedError(
        f"route {route.prefix}: no interface has a network with the next hop {route.gateway}", "/ietf-routing:routing"
    )

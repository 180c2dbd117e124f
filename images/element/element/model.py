"""The configuration as typed values: what the YANG modules under models/yang say, read from RFC 7951 JSON.

Nothing is validated here that the schema has validated already; defaults of the schema are supplied, because a
datastore may hold them or leave them out (RFC 6243).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Any

from element import nat
from element.connections import Connection, Secret, connections, secrets
from element.lan import model as lan
from element.nat import Breakout
from element.unsupported import UnsupportedError

Tree = Mapping[str, Any]


class Kind(StrEnum):
    """What an interface is, by the identity that is its type."""

    ETHERNET = "iana-if-type:ethernetCsmacd"
    LOOPBACK = "iana-if-type:softwareLoopback"
    BRIDGE = "iana-if-type:bridge"
    IPSEC = "elasticlab-ipsec:ipsec-tunnel"
    GRE = "elasticlab-gre:gre"
    VXLAN = "elasticlab-vxlan:vxlan"


_TABLES = 1000


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; its number is conntrack zone and packet mark, and tells the routing table."""

    name: str
    id: int

    @property
    def table(self) -> int:
        """Routing table of the tenant's VRF."""
        return _TABLES + self.id


def tenant_of(table: int) -> int:
    """The number of the tenant with this routing table."""
    return table - _TABLES


@dataclass(frozen=True, slots=True)
class Station:
    """A station that is behind one known port of a bridge (elasticlab-bridge, protected-station)."""

    mac: str
    addresses: tuple[str, ...]
    port: str
    vlan: int | None


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a bridge has besides its ports."""

    vlan_aware: bool = False
    mac: str | None = None
    tcp_mss: int | None = None
    stations: tuple[Station, ...] = ()


@dataclass(frozen=True, slots=True)
class BridgePort:
    """An interface's membership in a bridge."""

    bridge: str
    learning: bool = True
    access_vlan: int | None = None
    tagged_vlans: tuple[int, ...] = ()
    broadcast_limit: int = 1000


@dataclass(frozen=True, slots=True)
class Tunnel:
    """GRE, or VXLAN when it has a VNI; inside an IPsec tunnel interface."""

    local: str
    remote: str
    underlay: str
    vni: int | None = None
    mac: str | None = None
    """Of VXLAN that is a gateway."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface (RFC 8343, RFC 8344 and our augmentations)."""

    name: str
    kind: Kind
    enabled: bool = True
    description: str = ""
    mtu: int | None = None
    addresses: tuple[str, ...] = ()
    """Of both families."""
    forwarding: bool = False
    ipv6: bool = False
    """Without it IPv6 is off, also link-local."""
    forwarding6: bool = False
    tenant: str | None = None
    segments: frozenset[str] = frozenset()
    bridge: Bridge | None = None
    port: BridgePort | None = None
    tunnel: Tunnel | None = None
    if_id: int | None = None
    dhcp: bool = False
    """Its address and the default route of the underlay come from a lease."""
    dhcp6: bool = False
    """Its IPv6 address comes from a lease (RFC 9915), its default route from routers."""
    slaac: bool = False
    """Its IPv6 address and default route come from routers (RFC 4862); the kernel makes them."""
    dhcp_server: lan.DhcpServer | None = None
    dns: lan.Dns | None = None
    advertisements: lan.Advertisements | None = None
    serves: str | None = None
    """The interface whose DNS server is at the other end: then it is not configured, and there while that runs."""
    private_line: bool = False
    """VXLAN may travel here in clear, and nothing else but pings."""

    @property
    def of_segments(self) -> frozenset[str]:
        """The segments of its tenant that it is in: without any, the one of all such, which has the tenant's name."""
        return self.segments or frozenset({self.tenant or ""})


@dataclass(frozen=True, slots=True)
class Granted:
    """What an interface was given by DHCP; not configured, but part of what is wanted while the lease lasts."""

    interface: str
    address: str
    router: str | None

    @property
    def version(self) -> int:
        """Of IP."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A static route (RFC 8349, appendix A) of a tenant or of the underlay."""

    tenant: str | None
    prefix: str
    gateway: str | None = None
    interface: str | None = None
    special: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an element is told."""

    tenants: tuple[Tenant, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    breakouts: tuple[Breakout, ...] = ()
    connections: tuple[Connection, ...] = ()
    secrets: tuple[Secret, ...] = ()
    contacts: tuple[tuple[str, int], ...] = ()
    """Addresses and TCP ports that the box itself calls over the underlay; not configured, but known to it."""
    granted: tuple[Granted, ...] = ()
    failed: frozenset[str] = frozenset()
    """Uplinks that are known to lead nowhere now."""
    _by_name: dict[str, Interface] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._by_name.update({i.name: i for i in self.interfaces})

    def interface(self, name: str) -> Interface:
        """The interface of that name."""
        return self._by_name[name]

    def of_kind(self, kind: Kind) -> Iterator[Interface]:
        """All interfaces of a kind."""
        return (i for i in self.interfaces if i.kind is kind)

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name."""
        return next(t for t in self.tenants if t.name == name)

    def members(self, tenant: str) -> tuple[Interface, ...]:
        """Interfaces in the VRF of a tenant."""
        return tuple(i for i in self.interfaces if i.tenant == tenant)

    def insiders(self, breakout: Breakout) -> tuple[Interface, ...]:
        """The interfaces of a tenant that reach the Internet (elasticlab-nat, internal-interface)."""
        return tuple(i for i in self.members(breakout.tenant) if not breakout.inside or i.name in breakout.inside)


def read(tree: Tree) -> Config:
    """The configuration in a data tree."""
    tenants = tree.get("elasticlab-tenant:tenants", {}).get("tenant", ())
    interfaces = tree.get("ietf-interfaces:interfaces", {}).get("interface", ())
    ipsec = tree.get("elasticlab-ipsec:ipsec", {})
    return Config(
        tenants=tuple(Tenant(t["name"], t["id"]) for t in tenants),
        interfaces=tuple(_interface(i) for i in interfaces),
        routes=tuple(_routes(tree.get("ietf-routing:routing", {}))),
        breakouts=tuple(nat.read(tree.get("elasticlab-nat:nat", {}))),
        connections=tuple(connections(ipsec)),
        secrets=tuple(secrets(ipsec)),
    )


def _interface(tree: Tree) -> Interface:
    name = tree["name"]
    path = f"/ietf-interfaces:interfaces/interface[name='{name}']"
    try:
        kind = Kind(tree["type"])
    except ValueError:
        raise UnsupportedError(f"interface {name}: type {tree['type']} is not offered here", f"{path}/type") from None
    ipv4 = tree.get("ietf-ip:ipv4", {})
    if not ipv4.get("enabled", True):
        ipv4 = {}
    ipv6 = _ipv6(tree, path)
    return Interface(
        name=name,
        kind=kind,
        enabled=tree.get("enabled", True),
        description=tree.get("description", ""),
        mtu=tree.get("elasticlab-interface:mtu", ipv4.get("mtu")),
        addresses=(
            *(_address(a, path) for a in ipv4.get("address", ())),
            *(_address6(a, path) for a in (ipv6 or {}).get("address", ())),
        ),
        forwarding=ipv4.get("forwarding", False),
        ipv6=ipv6 is not None,
        forwarding6=(ipv6 or {}).get("forwarding", False),
        tenant=tree.get("elasticlab-tenant:tenant"),
        segments=frozenset(tree.get("elasticlab-tenant:segment", ())),
        bridge=_bridge(tree.get("elasticlab-bridge:bridge", {})) if kind is Kind.BRIDGE else None,
        port=_port(tree.get("elasticlab-bridge:bridge-port")),
        tunnel=_tunnel(tree.get("elasticlab-gre:gre") or tree.get("elasticlab-vxlan:vxlan")),
        if_id=tree.get("elasticlab-ipsec:ipsec-tunnel", {}).get("if-id"),
        dhcp=_outside(tree, path, "dhcp", "a lease is"),
        dhcp6=_outside(tree, path, "dhcp6", "a lease is") and ipv6 is not None,
        slaac=_outside(tree, path, "slaac", "an address of a provider's router is") and ipv6 is not None,
        dhcp_server=lan.dhcp_server(tree),
        dns=lan.dns(tree),
        advertisements=lan.advertisements(tree),
        private_line=tree.get("elasticlab-interface:private-line", False),
    )


def _outside(tree: Tree, path: str, how: str, what: str) -> bool:
    """Whether an address comes in this way; only an uplink's can."""
    if f"elasticlab-interface:{how}" not in tree:
        return False
    inner = {"elasticlab-tenant:tenant", "elasticlab-bridge:bridge-port"} & set(tree)
    if inner:
        why = f"{what} an uplink's, and this interface belongs to a tenant or a bridge"
        raise UnsupportedError(f"interface {tree['name']}: {why}", f"{path}/elasticlab-interface:{how}")
    return True


def _address(tree: Tree, path: str) -> str:
    if "prefix-length" not in tree:
        where = f"{path}/ietf-ip:ipv4/address[ip='{tree['ip']}']"
        raise UnsupportedError(f"address {tree['ip']}: give prefix-length, not netmask", where)
    return f"{tree['ip']}/{tree['prefix-length']}"


def _ipv6(tree: Tree, path: str) -> Tree | None:
    """What is said of IPv6; None where it is off (RFC 8344: the container's presence is the switch)."""
    ipv6 = tree.get("ietf-ip:ipv6")
    if ipv6 is None or not ipv6.get("enabled", True):
        return None
    if "mtu" in ipv6:
        why = "the MTU is one for all that the interface carries: give elasticlab-interface:mtu"
        raise UnsupportedError(f"interface {tree['name']}: {why}", f"{path}/ietf-ip:ipv6/mtu")
    return dict(ipv6)


def _address6(tree: Tree, path: str) -> str:
    address = IPv6Address(tree["ip"])
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_loopback:
        where = f"{path}/ietf-ip:ipv6/address[ip='{tree['ip']}']"
        why = "link-local ones are made from the MAC address" if address.is_link_local else "it is no host's"
        raise UnsupportedError(f"address {address}: {why}", where)
    return f"{address}/{tree['prefix-length']}"


def _bridge(tree: Tree) -> Bridge:
    stations = (
        Station(s["mac-address"], tuple(s.get("address", ())), s["port"], s.get("vlan"))
        for s in tree.get("protected-station", ())
    )
    return Bridge(tree.get("vlan-aware", False), tree.get("mac-address"), tree.get("tcp-mss"), tuple(stations))


def _port(tree: Tree | None) -> BridgePort | None:
    if tree is None:
        return None
    return BridgePort(
        bridge=tree["bridge"],
        learning=tree.get("learning", True),
        access_vlan=tree.get("access-vlan"),
        tagged_vlans=tuple(sorted(tree.get("tagged-vlan", ()))),
        broadcast_limit=tree.get("broadcast-limit", 1000),
    )


def _tunnel(tree: Tree | None) -> Tunnel | None:
    if not tree:
        return None
    return Tunnel(
        tree["local-address"], tree["remote-address"], tree["underlay"], tree.get("vni"), tree.get("mac-address")
    )


def _routes(tree: Tree) -> Iterator[StaticRoute]:
    protocols = tree.get("control-plane-protocols", {}).get("control-plane-protocol", ())
    for protocol in protocols:
        path = f"/ietf-routing:routing/control-plane-protocols/control-plane-protocol[name='{protocol['name']}']"
        if protocol["type"] not in {"static", "ietf-routing:static"}:
            raise UnsupportedError(f"routing protocol {protocol['type']} is not offered here", path)
        static = protocol.get("static-routes", {})
        for family in ("ipv4", "ipv6"):
            for route in static.get(f"ietf-{family}-unicast-routing:{family}", {}).get("route", ()):
                yield _route(protocol.get("elasticlab-tenant:tenant"), route, path)


def _route(tenant: str | None, route: Tree, path: str) -> StaticRoute:
    hop = route["next-hop"]
    if "next-hop-list" in hop:
        raise UnsupportedError(f"route {route['destination-prefix']}: several next hops are not offered yet", path)
    if "%" in hop.get("next-hop-address", ""):
        why = "give outgoing-interface, not a zone"
        raise UnsupportedError(f"route {route['destination-prefix']}: {why}", path)
    special = hop.get("special-next-hop")
    if special not in {None, "blackhole", "unreachable", "prohibit"}:
        raise UnsupportedError(f"route {route['destination-prefix']}: next hop {special} is not offered", path)
    return StaticRoute(
        tenant, route["destination-prefix"], hop.get("next-hop-address"), hop.get("outgoing-interface"), special
    )

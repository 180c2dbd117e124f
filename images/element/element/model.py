"""The configuration as typed values: what the YANG modules under models/yang say, read from RFC 7951 JSON.

Nothing is validated here that the schema has validated already; defaults of the schema are supplied, because a
datastore may hold them or leave them out (RFC 6243).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Tree = Mapping[str, Any]

IKE_PROPOSALS = ("aes256gcm16-prfsha384-ecp256",)
ESP_PROPOSALS = ("aes256gcm16-ecp256",)


class Kind(StrEnum):
    """What an interface is, by the identity that is its type."""

    ETHERNET = "iana-if-type:ethernetCsmacd"
    LOOPBACK = "iana-if-type:softwareLoopback"
    BRIDGE = "iana-if-type:bridge"
    IPSEC = "elasticlab-ipsec:ipsec-tunnel"
    GRE = "elasticlab-gre:gre"
    VXLAN = "elasticlab-vxlan:vxlan"


class UnsupportedError(ValueError):
    """The schema allows it and this element cannot do it; ``path`` tells where (RFC 7951, section 6.11)."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; its number is conntrack zone and packet mark, and tells the routing table."""

    name: str
    id: int

    @property
    def table(self) -> int:
        """Routing table of the tenant's VRF."""
        return 1000 + self.id


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


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface (RFC 8343, RFC 8344 and our augmentations)."""

    name: str
    kind: Kind
    enabled: bool = True
    description: str = ""
    mtu: int | None = None
    addresses: tuple[str, ...] = ()
    forwarding: bool = False
    tenant: str | None = None
    segments: frozenset[str] = frozenset()
    bridge: Bridge | None = None
    port: BridgePort | None = None
    tunnel: Tunnel | None = None
    if_id: int | None = None
    dhcp: bool = False
    """Its address and the default route of the underlay come from a lease."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What an interface was given by DHCP; not configured, but part of what is wanted while the lease lasts."""

    interface: str
    address: str
    router: str | None


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A static route (RFC 8349, appendix A) of a tenant or of the underlay."""

    tenant: str | None
    prefix: str
    gateway: str | None = None
    interface: str | None = None
    special: str | None = None


@dataclass(frozen=True, slots=True)
class Breakout:
    """A tenant's way to the Internet."""

    tenant: str
    interface: str
    address: str | None
    inside: frozenset[str] = frozenset()
    """The interfaces that may use it; none means all of the tenant's."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An IPsec connection with one peer."""

    name: str
    start: bool
    local_id: str
    certificate: str
    remote_id: str
    ca: str
    remote_address: str | None
    interface: str
    local_prefix: str
    remote_prefix: str
    ike_proposals: tuple[str, ...] = IKE_PROPOSALS
    esp_proposals: tuple[str, ...] = ESP_PROPOSALS
    replay_window: int = 1024
    dpd_interval: int = 5
    ike_lifetime: int = 14400
    child_lifetime: int = 3600
    unique: str = "replace"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an element is told."""

    tenants: tuple[Tenant, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    breakouts: tuple[Breakout, ...] = ()
    connections: tuple[Connection, ...] = ()
    contacts: tuple[tuple[str, int], ...] = ()
    """Addresses and TCP ports that the box itself calls over the underlay; not configured, but known to it."""
    granted: tuple[Granted, ...] = ()
    failed: frozenset[str] = frozenset()
    """Uplinks that are known to lead nowhere now."""
    _by_name: dict[str, Interface] = field(default_factory=dict, compare=False, repr=False)

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

    def segments(self, tenant: str) -> dict[str, tuple[Interface, ...]]:
        """The segments of a tenant by name, with their interfaces (elasticlab-tenant, segment)."""
        found: dict[str, list[Interface]] = {}
        for interface in self.members(tenant):
            for name in interface.segments or {tenant}:
                found.setdefault(name, []).append(interface)
        return {name: tuple(found[name]) for name in sorted(found)}

    def insiders(self, breakout: Breakout) -> tuple[Interface, ...]:
        """The interfaces of a tenant that reach the Internet (elasticlab-nat, internal-interface)."""
        return tuple(i for i in self.members(breakout.tenant) if not breakout.inside or i.name in breakout.inside)


def read(tree: Tree) -> Config:
    """The configuration in a data tree."""
    tenants = tree.get("elasticlab-tenant:tenants", {}).get("tenant", ())
    interfaces = tree.get("ietf-interfaces:interfaces", {}).get("interface", ())
    breakouts = tree.get("elasticlab-nat:nat", {}).get("breakout", ())
    return Config(
        tenants=tuple(Tenant(t["name"], t["id"]) for t in tenants),
        interfaces=tuple(_interface(i) for i in interfaces),
        routes=tuple(_routes(tree.get("ietf-routing:routing", {}))),
        breakouts=tuple(_breakout(b) for b in breakouts),
        connections=tuple(_connections(tree.get("elasticlab-ipsec:ipsec", {}))),
    )


def _breakout(tree: Tree) -> Breakout:
    inside = frozenset(tree.get("internal-interface", ()))
    return Breakout(tree["tenant"], tree["external-interface"], tree.get("external-address"), inside)


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
    if tree.get("ietf-ip:ipv6", {}).get("enabled", bool(tree.get("ietf-ip:ipv6"))):
        raise UnsupportedError(f"interface {name}: IPv6 is not offered yet", f"{path}/ietf-ip:ipv6")
    return Interface(
        name=name,
        kind=kind,
        enabled=tree.get("enabled", True),
        description=tree.get("description", ""),
        mtu=tree.get("elasticlab-interface:mtu", ipv4.get("mtu")),
        addresses=tuple(_address(a, path) for a in ipv4.get("address", ())),
        forwarding=ipv4.get("forwarding", False),
        tenant=tree.get("elasticlab-tenant:tenant"),
        segments=frozenset(tree.get("elasticlab-tenant:segment", ())),
        bridge=_bridge(tree.get("elasticlab-bridge:bridge", {})) if kind is Kind.BRIDGE else None,
        port=_port(tree.get("elasticlab-bridge:bridge-port")),
        tunnel=_tunnel(tree.get("elasticlab-gre:gre") or tree.get("elasticlab-vxlan:vxlan")),
        if_id=tree.get("elasticlab-ipsec:ipsec-tunnel", {}).get("if-id"),
        dhcp=_dhcp(tree, path),
    )


def _dhcp(tree: Tree, path: str) -> bool:
    if "elasticlab-interface:dhcp" not in tree:
        return False
    inner = {"elasticlab-tenant:tenant", "elasticlab-bridge:bridge-port"} & set(tree)
    if inner:
        why = "a lease is an uplink's, and this interface belongs to a tenant or a bridge"
        raise UnsupportedError(f"interface {tree['name']}: {why}", f"{path}/elasticlab-interface:dhcp")
    return True


def _address(tree: Tree, path: str) -> str:
    if "prefix-length" not in tree:
        where = f"{path}/ietf-ip:ipv4/address[ip='{tree['ip']}']"
        raise UnsupportedError(f"address {tree['ip']}: give prefix-length, not netmask", where)
    return f"{tree['ip']}/{tree['prefix-length']}"


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
    return Tunnel(tree["local-address"], tree["remote-address"], tree["underlay"], tree.get("vni"))


def _routes(tree: Tree) -> Iterator[StaticRoute]:
    protocols = tree.get("control-plane-protocols", {}).get("control-plane-protocol", ())
    for protocol in protocols:
        path = f"/ietf-routing:routing/control-plane-protocols/control-plane-protocol[name='{protocol['name']}']"
        if protocol["type"] not in {"static", "ietf-routing:static"}:
            raise UnsupportedError(f"routing protocol {protocol['type']} is not offered here", path)
        routes = protocol.get("static-routes", {}).get("ietf-ipv4-unicast-routing:ipv4", {}).get("route", ())
        for route in routes:
            yield _route(protocol.get("elasticlab-tenant:tenant"), route, path)


def _route(tenant: str | None, route: Tree, path: str) -> StaticRoute:
    hop = route["next-hop"]
    if "next-hop-list" in hop:
        raise UnsupportedError(f"route {route['destination-prefix']}: several next hops are not offered yet", path)
    special = hop.get("special-next-hop")
    if special not in {None, "blackhole", "unreachable", "prohibit"}:
        raise UnsupportedError(f"route {route['destination-prefix']}: next hop {special} is not offered", path)
    return StaticRoute(
        tenant, route["destination-prefix"], hop.get("next-hop-address"), hop.get("outgoing-interface"), special
    )


def _connections(tree: Tree) -> Iterator[Connection]:
    pad = {entry["name"]: entry for entry in tree.get("pad", {}).get("pad-entry", ())}
    for conn in tree.get("conn-entry", ()):
        local = pad[conn["local"]["local-pad-entry-name"]]
        remote = pad[conn["remote"]["remote-pad-entry-name"]]
        yield Connection(
            name=conn["name"],
            start=conn.get("autostartup", "add") == "start",
            local_id=local["identity"],
            certificate=local["certificate"],
            remote_id=remote["identity"],
            ca=remote.get("ca", "ca"),
            remote_address=conn["remote"].get("address"),
            interface=conn["spd"]["interface"],
            local_prefix=conn["spd"]["local-prefix"],
            remote_prefix=conn["spd"]["remote-prefix"],
            ike_proposals=tuple(conn.get("ike-proposal", IKE_PROPOSALS)),
            esp_proposals=tuple(conn.get("esp-proposal", ESP_PROPOSALS)),
            replay_window=conn.get("replay-window", 1024),
            dpd_interval=conn.get("dpd-interval", 5),
            ike_lifetime=conn.get("ike-lifetime", 14400),
            child_lifetime=conn.get("child-lifetime", 3600),
            unique=conn.get("unique", "replace"),
        )

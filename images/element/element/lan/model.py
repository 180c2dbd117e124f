"""Servers of a LAN as typed values: what ``elasticlab-lan`` and RFC 8349 (router advertisements) say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A station with an address of its own."""

    mac: str
    address: str


@dataclass(frozen=True, slots=True)
class DhcpServer:
    """Addresses for stations (elasticlab-lan, dhcp-server)."""

    start: str
    end: str
    lease_time: int = 3600
    dns_servers: tuple[str, ...] = ()
    mtu: int | None = None
    reservations: tuple[Reservation, ...] = ()


@dataclass(frozen=True, slots=True)
class HostName:
    """A name that is always known."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dns:
    """Names for stations (elasticlab-lan, dns)."""

    domain: str | None = None
    forwarders: tuple[str, ...] = ()
    hosts: tuple[HostName, ...] = ()


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix that is advertised (RFC 8349, prefix-list)."""

    prefix: str
    valid: int = 2592000
    on_link: bool = True
    preferred: int = 604800
    autonomous: bool = True


@dataclass(frozen=True, slots=True)
class Advertisements:
    """Router advertisements (RFC 8349, ipv6-router-advertisements); the defaults are RFC 4861's, section 6.2.1."""

    longest: int = 600
    shortest: int | None = None
    managed: bool = False
    other: bool = False
    mtu: int = 0
    reachable: int = 0
    retransmit: int = 0
    hop_limit: int | None = None
    lifetime: int | None = None
    prefixes: tuple[Prefix, ...] = ()
    """Besides those of the interface's own addresses."""
    silent: frozenset[str] = frozenset()
    """Prefixes that are not advertised."""


def dhcp_server(tree: Tree) -> DhcpServer | None:
    """Of an interface."""
    server = tree.get("elasticlab-lan:dhcp-server")
    if server is None:
        return None
    return DhcpServer(
        server["start-address"],
        server["end-address"],
        server.get("lease-time", 3600),
        tuple(server.get("dns-server", ())),
        server.get("mtu"),
        tuple(Reservation(r["mac-address"].lower(), r["address"]) for r in server.get("reservation", ())),
    )


def dns(tree: Tree) -> Dns | None:
    """Of an interface."""
    names = tree.get("elasticlab-lan:dns")
    if names is None:
        return None
    hosts = tuple(HostName(h["name"].rstrip("."), tuple(h["address"])) for h in names.get("host", ()))
    domain = names.get("domain")
    return Dns(domain.rstrip(".") if domain else None, tuple(names.get("forwarder", ())), hosts)


def advertisements(tree: Tree) -> Advertisements | None:
    """Of an interface."""
    ra = tree.get("ietf-ip:ipv6", {}).get("ietf-ipv6-unicast-routing:ipv6-router-advertisements", {})
    if not ra.get("send-advertisements", False):
        return None
    listed = ra.get("prefix-list", {}).get("prefix", ())
    return Advertisements(
        longest=ra.get("max-rtr-adv-interval", 600),
        shortest=ra.get("min-rtr-adv-interval"),
        managed=ra.get("managed-flag", False),
        other=ra.get("other-config-flag", False),
        mtu=ra.get("link-mtu", 0),
        reachable=ra.get("reachable-time", 0),
        retransmit=ra.get("retrans-timer", 0),
        hop_limit=ra.get("cur-hop-limit"),
        lifetime=ra.get("default-lifetime"),
        prefixes=tuple(_prefixes(listed)),
        silent=frozenset(p["prefix-spec"] for p in listed if "no-advertise" in p),
    )


def _prefixes(listed: Any) -> Iterator[Prefix]:
    for prefix in listed:
        if "no-advertise" not in prefix:
            yield Prefix(
                prefix["prefix-spec"],
                prefix.get("valid-lifetime", 2592000),
                prefix.get("on-link-flag", True),
                prefix.get("preferred-lifetime", 604800),
                prefix.get("autonomous-flag", True),
            )

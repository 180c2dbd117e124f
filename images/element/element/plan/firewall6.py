"""The packet filter's IPv6: what neighbours must be able to say (RFC 4861, RFC 4890), and what no station may say.

IPv6 has no ARP: neighbour discovery is ICMPv6, so it passes the same chains as all else. It reaches the filter with the
name of the interface that it came in by, also in a VRF, as do packets for link-local and group addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from element.model import Config, Interface, Tenant

NEIGHBOURS = "ip6 hoplimit 255 icmpv6 type"
"""RFC 4861, section 6.1: what came through a router is no neighbour's."""
ERRORS = "{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
"""RFC 4890, section 4.4.1: must not be dropped."""
_ICMP = "meta protocol ip6 meta l4proto ipv6-icmp"
ADVERTISED = f"{_ICMP} icmpv6 type nd-neighbor-advert"
"""What is said of a target (RFC 4861, section 4.4)."""

ICMPV6 = 58
SENDERS = 0x0FFF_0000
"""The bits of a packet's mark that are the number of the tenant who sent it."""


def sender(tenant: Tenant) -> int:
    """The mark of packets of a tenant on their way out."""
    return tenant.id << 16


def senders(config: Config) -> Iterator[str]:
    """Marks what comes from tenants that have a way out. Linux sends an IPv6 error to the one who caused it by the
    routing table of where the packet was going: without a mark, into the underlay, with a part of the packet in it."""
    for breakout in config.breakouts:
        if inside := [i for i in config.insiders(breakout) if i.ipv6]:
            mark = sender(config.tenant(breakout.tenant))
            yield f"meta nfproto ipv6 iifname {_names(inside)} meta mark set meta mark | {mark:#x}"


def leaks(config: Config, ports: list[Interface]) -> Iterator[str]:
    """Before translation nothing leaves by an uplink that has the gateway's address in a tenant's network."""
    inner = [a.partition("/")[0] for i in config.interfaces if i.tenant for a in i.addresses if ":" in a]
    if inner and ports:
        yield f'ip6 saddr {{ {", ".join(inner)} }} oifname {_names(ports)} counter name "overlay-leak" drop'


def _names(interfaces: Iterable[Interface]) -> str:
    return "{ " + ", ".join(f'"{i.name}"' for i in interfaces) + " }"


def underlay(ports: list[Interface]) -> Iterator[str]:
    """What is let in at the uplinks: router advertisements only where addresses and routes are not configured."""
    if with_ipv6 := [i for i in ports if i.ipv6]:
        came = f"iifname {_names(with_ipv6)}"
        yield f"{came} {NEIGHBOURS} {{ nd-neighbor-solicit, nd-neighbor-advert }} accept"
        if leased := [i for i in with_ipv6 if i.dhcp6]:
            # What follows the first exchange comes by UDP, to the leased address, from one of the server's own: udhcpc6
            # renews from there, and not from its link-local one.
            yield f"iifname {_names(leased)} meta nfproto ipv6 udp sport 547 udp dport 546 accept"
        if told := [i for i in with_ipv6 if i.slaac or i.dhcp6]:
            yield f"iifname {_names(told)} {NEIGHBOURS} nd-router-advert ip6 saddr fe80::/10 accept"
        yield f"{came} icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept"
        yield f"{came} icmpv6 type {ERRORS} accept"
        yield f"{came} icmpv6 type echo-request limit rate 50/second accept"
        yield f"{came} icmpv6 type echo-reply ct state established accept"


def tenants(config: Config) -> Iterator[str]:
    """What a gateway hears from its stations, and answers."""
    members = [i for i in config.interfaces if i.tenant and i.ipv6]
    if not members:
        return
    came = f"iifname {_names(members)}"
    yield f"{came} {NEIGHBOURS} {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept"
    yield f"{came} icmpv6 type mld-listener-query ip6 saddr fe80::/10 accept"
    vrfs = {config.tenant(i.tenant).name for i in members if i.tenant}
    both = "{ " + ", ".join(f'"{name}"' for name in (*sorted(vrfs), *(i.name for i in members))) + " }"
    yield f"iifname {both} icmpv6 type echo-request limit rate 100/second accept"


def forwarding(config: Config) -> Iterator[str]:
    """Linux forwards IPv6 between all interfaces or none: only those that are told to do."""
    refused = 'counter name "forwarding-denied" drop'
    if routers := [i for i in config.interfaces if i.forwarding6]:
        names = _names(routers)
        yield f"meta nfproto ipv6 oifname != {names} {refused}"
        yield f"meta nfproto ipv6 meta sdifname != {names} iifname != {names} {refused}"
    else:
        yield f"meta nfproto ipv6 {refused}"


@lru_cache(4096)
def link_local(mac: str) -> str:
    """The address that Linux gives an interface with this MAC address (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(IPv6Address(bytes.fromhex("fe80000000000000") + octets[:3] + b"\xff\xfe" + octets[3:]))


def of_a_station(mac: str, addresses: Iterable[str]) -> list[str]:
    """What a station with these addresses may say that it is."""
    return [link_local(mac), *(a for a in addresses if ip_address(a).version == 6)]


def of_a_router(source: str) -> Iterator[str]:
    """What only a router and a DHCPv6 server say (RFC 6105, RFC 7610), and fragments in which to hide it (RFC 7113):
    neighbour discovery has none (RFC 6980), and of all else nothing has its hop limit."""
    refused = 'counter name "router-imitated" drop'
    yield f"{_ICMP} icmpv6 type {{ nd-router-advert, nd-redirect }} {source} {refused}"
    yield f"meta protocol ip6 meta l4proto udp udp sport 547 udp dport 546 {source} {refused}"
    yield f"meta protocol ip6 ip6 hoplimit 255 exthdr frag exists {source} {refused}"

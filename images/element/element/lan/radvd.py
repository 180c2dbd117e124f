"""What radvd is told: RFC 8349's router advertisements of an interface, in radvd.conf(5)'s words."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Interface

from element.lan.model import Advertisements, Prefix
from element.model import Interface


def text(interface: Interface, ra: Advertisements) -> str:
    """The configuration file."""
    return "".join(f"{line}\n" for line in _lines(interface, ra))


def _lines(interface: Interface, ra: Advertisements) -> Iterator[str]:
    own = [IPv6Interface(a) for a in interface.addresses if ":" in a]
    # RFC 4861, section 6.2.1. Who does not forward is no router (section 6.2.2).
    shortest = ra.shortest or max(3, int(ra.longest * 0.33))
    lifetime = ra.lifetime if ra.lifetime is not None else min(3 * ra.longest, 9000)
    yield f"interface {interface.name} {{"
    yield "  AdvSendAdvert on;"
    yield f"  MaxRtrAdvInterval {ra.longest};"
    yield f"  MinRtrAdvInterval {min(shortest, int(ra.longest * 0.75))};"
    yield f"  AdvManagedFlag {_switch(ra.managed)};"
    yield f"  AdvOtherConfigFlag {_switch(ra.other)};"
    yield f"  AdvLinkMTU {ra.mtu};"
    yield f"  AdvReachableTime {ra.reachable};"
    yield f"  AdvRetransTimer {ra.retransmit};"
    yield f"  AdvCurHopLimit {64 if ra.hop_limit is None else ra.hop_limit};"
    yield f"  AdvDefaultLifetime {lifetime if interface.forwarding6 else 0};"
    listed = {prefix.prefix for prefix in ra.prefixes} | ra.silent
    networks = sorted({str(a.network) for a in own if not a.is_link_local} - listed)
    for prefix in (*ra.prefixes, *(Prefix(network) for network in networks)):
        yield f"  prefix {prefix.prefix} {{"
        yield f"    AdvOnLink {_switch(prefix.on_link)};"
        yield f"    AdvAutonomous {_switch(prefix.autonomous)};"
        yield f"    AdvValidLifetime {_seconds(prefix.valid)};"
        yield f"    AdvPreferredLifetime {_seconds(min(prefix.preferred, prefix.valid))};"
        yield "  };"
    servers = [str(a.ip) for a in own if not a.is_link_local][:1]
    if interface.dns and servers:
        # RFC 8106: the DNS server and the domain.
        yield f"  RDNSS {' '.join(servers)} {{ AdvRDNSSLifetime {max(3 * ra.longest, 30)}; }};"
        if interface.dns.domain:
            yield f"  DNSSL {interface.dns.domain} {{ AdvDNSSLLifetime {max(3 * ra.longest, 30)}; }};"
    yield "};"


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _seconds(value: int) -> str:
    return "infinity" if value == 0xFFFFFFFF else str(value)

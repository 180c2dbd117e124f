"""What dnsmasq is told, as DHCP server of an interface or as DNS server behind one: its configuration files' text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

from element.lan import checks
from element.lan.model import DhcpServer, Dns
from element.lan.resolver import Link
from element.model import Interface

_COMMON = ("no-resolv", "no-hosts", "no-poll", "log-facility=-", "pid-file", "bind-interfaces")


def dhcp(interface: Interface, server: DhcpServer, leases: Path) -> str:
    """A DHCP server that is bound to the interface's device, and to nothing else."""
    return _text((*_COMMON, "port=0", *_dhcp(interface, server, leases)))


def _dhcp(interface: Interface, server: DhcpServer, leases: Path) -> Iterator[str]:
    own = checks.network(interface, server)
    if own is None:
        raise ValueError(f"{interface.name} has no network for {server.start}")
    yield f"interface={interface.name}"
    # Nobody else gives addresses here; a ping before each offer would leave by another routing domain, and cost 3 s.
    yield from ("dhcp-authoritative", "no-ping", "quiet-dhcp")
    yield f"dhcp-leasefile={leases}"
    size = int(IPv4Address(server.end)) - int(IPv4Address(server.start)) + 1
    yield f"dhcp-lease-max={size + len(server.reservations)}"
    yield f"dhcp-range={server.start},{server.end},{own.netmask},{server.lease_time}"
    yield f"dhcp-option=option:router,{own.ip}"
    servers = server.dns_servers or ((str(own.ip),) if interface.dns else ())
    yield ",".join(("dhcp-option=option:dns-server", *servers))
    if interface.dns and interface.dns.domain:
        yield f"domain={interface.dns.domain}"
    if server.mtu:
        yield f"dhcp-option=option:mtu,{server.mtu}"
    for reservation in server.reservations:
        yield f"dhcp-host={reservation.mac},{reservation.address}"


def dns(names: Dns, link: Link, hosts: Path, *, ipv6: bool) -> str:
    """A DNS server at the far end of a link: it answers from the hosts' file, and asks forwarders in their order."""
    return _text((*_COMMON, *_dns(names, link, hosts, ipv6=ipv6)))


def _dns(names: Dns, link: Link, hosts: Path, *, ipv6: bool) -> Iterator[str]:
    yield from (f"listen-address={address}" for address in link.far[: 2 if ipv6 else 1])
    yield f"addn-hosts={hosts}"
    yield from ("cache-size=1000", "edns-packet-max=1232", "strict-order")
    if names.domain:
        yield from (f"domain={names.domain}", f"local=/{names.domain}/", "expand-hosts")
    yield from (f"server={forwarder}" for forwarder in names.forwarders)
    if not names.forwarders:
        yield "address=/#/"  # NXDOMAIN


def hosts(names: Dns, stations: Iterable[tuple[str, str]]) -> str:
    """The hosts' file: configured names, then those of stations (name and address) that take none of them."""
    lines = [f"{address} {host.name}" for host in names.hosts for address in host.addresses]
    taken = {host.name.lower() for host in names.hosts}
    lines += [f"{address} {name}" for name, address in stations if name.lower() not in taken]
    return _text(lines)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)

"""The packet filter's part for a LAN's servers: who may ask them, and where their own questions go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_interface

from element.model import Config, Interface

COUNTERS = ("dhcp-imitated",)


def guard(source: str) -> str:
    """What only a DHCP server says, of a port behind which there is none (RFC 7513, section 7.1)."""
    return f'meta protocol ip meta l4proto udp udp sport 67 {source} counter name "dhcp-imitated" drop'


def listen(config: Config) -> Iterator[str]:
    """DHCP is heard on the LANs that have it, and there alone."""
    for interface in config.interfaces:
        if interface.dhcp_server and interface.enabled:
            yield f"{_came(interface)} udp sport 68 udp dport 67 accept"


def redirection(config: Config) -> Iterator[str]:
    """Who asks the gateway's own address for names is answered by the server behind it."""
    for near, served in _resolvers(config):
        for family, addresses in _families(served):
            far = near.addresses[0 if family == "ip" else 1]
            asked = f'iifname "{served.name}" {family} daddr {{ {", ".join(addresses)} }}'
            yield f"{asked} meta l4proto {{ tcp, udp }} th dport 53 dnat {family} to {_other(far)}"


def forward(config: Config) -> Iterator[str]:
    """A DNS server hears its LAN, as far as that asks the gateway, and answers; nobody else reaches it."""
    for near, served in _resolvers(config):
        for family, far in _far(near):
            # While the server is not there, the tenant's routes would take it elsewhere.
            yield f'{family} daddr {far} oifname != "{near.name}" counter name "forwarding-denied" drop'
        yield f'{_came(served)} oifname "{near.name}" ct status & dnat == dnat accept'
        yield f'{_came(near)} oifname "{served.name}" ct direction reply accept'
        yield f'oifname "{near.name}" ct direction original counter name "forwarding-denied" drop'


def servers(config: Config, tenant: str) -> Iterator[str]:
    """The addresses of a tenant's DNS servers."""
    for near, served in _resolvers(config):
        if served.tenant == tenant:
            yield from (far for _, far in _far(near))


def translation(config: Config) -> Iterator[str]:
    """What a DNS server asks inside its tenant, it asks by the gateway's address."""
    for near, served in _resolvers(config):
        members = _names(i for i in config.members(served.tenant or "") if i.name != near.name)
        for family, addresses in _families(served):
            far = _other(near.addresses[0 if family == "ip" else 1])
            yield f"{family} saddr {far} oifname {members} snat {family} to {addresses[0]}"


def _resolvers(config: Config) -> Iterator[tuple[Interface, Interface]]:
    return ((i, config.interface(i.serves)) for i in config.interfaces if i.serves)


def _came(interface: Interface) -> str:
    return f'iifname "{interface.tenant}" meta sdifname "{interface.name}"'


def _families(served: Interface) -> Iterator[tuple[str, list[str]]]:
    """The interface's own addresses of each family that its server has."""
    addresses = [a.partition("/")[0] for a in served.addresses]
    if old := [a for a in addresses if ":" not in a]:
        yield "ip", old
    if new := [a for a in addresses if ":" in a]:
        yield "ip6", new


def _far(near: Interface) -> Iterator[tuple[str, str]]:
    return (("ip6" if ":" in address else "ip", _other(address)) for address in near.addresses)


def _other(near: str) -> str:
    """The far end's address: the next one."""
    return str(ip_interface(near).ip + 1)


def _names(interfaces: Iterable[Interface]) -> str:
    return "{ " + ", ".join(f'"{i.name}"' for i in interfaces) + " }"

"""The packet filter of private lines: VXLAN in clear, of peers and VNIs that are configured; pings between the ends.

Nothing else, in neither direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_interface, ip_network

from element.model import Config, Interface, Kind, Tunnel

REFUSED = 'counter name "private-line-denied" drop'
_ERRORS = "destination-unreachable, time-exceeded, parameter-problem"


def lines(config: Config) -> list[Interface]:
    """The interfaces that are private lines."""
    return [i for i in config.of_kind(Kind.ETHERNET) if i.private_line]


def arriving(config: Config, vni: str) -> Iterator[str]:
    """What may come from the lines to the box itself; ``vni`` is where nft finds the VNI."""
    for line, tunnels, own in _used(config):
        came = f'iifname "{line.name}"'
        for tunnel in tunnels:
            ends = f"ip saddr {tunnel.remote} ip daddr {tunnel.local}"
            yield f"{came} {ends} udp dport 4789 {vni} {tunnel.vni} accept"
        for address, network in own:
            ends = f"ip saddr {network} ip daddr {address}"
            yield f"{came} {ends} icmp type echo-request limit rate 50/second accept"
            yield f"{came} {ends} icmp type {{ echo-reply, {_ERRORS} }} ct state established,related accept"
        yield f"{came} {REFUSED}"


def excepted(config: Config, vni: str) -> Iterator[str]:
    """What may leave in clear: by the line whose it is, and by no other."""
    for line, tunnels, own in _used(config):
        leaves = f'oifname "{line.name}"'
        for tunnel in tunnels:
            ends = f"ip saddr {tunnel.local} ip daddr {tunnel.remote}"
            yield f"{leaves} {ends} udp dport 4789 {vni} {tunnel.vni} accept"
        for address, network in own:
            pings = f"icmp type {{ echo-request, echo-reply, {_ERRORS} }}"
            yield f"{leaves} ip saddr {address} ip daddr {network} {pings} accept"


def leaving(config: Config) -> Iterator[str]:
    """Whatever else would leave by a line."""
    for line in lines(config):
        yield f'oifname "{line.name}" {REFUSED}'


def ends(config: Config, loopbacks: Iterable[str]) -> list[str]:
    """The lines whose tunnels end on one of these."""
    known = [ip_network(prefix) for prefix in loopbacks]
    used = ((line, [ip_address(t.local) for t in tunnels]) for line, tunnels, _ in _used(config))
    return [line.name for line, local in used if any(a in network for a in local for network in known)]


def _used(config: Config) -> Iterator[tuple[Interface, list[Tunnel], list[tuple[str, str]]]]:
    """The lines, with the tunnels on them, and with their addresses and networks."""
    tunnels = [i.tunnel for i in config.of_kind(Kind.VXLAN) if i.tunnel]
    for line in lines(config):
        own = [ip_interface(a) for a in line.addresses if ":" not in a]
        addresses = [(str(address.ip), str(address.network)) for address in own]
        yield line, [t for t in tunnels if t.underlay == line.name], addresses

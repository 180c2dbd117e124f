"""The packet filter of bridges: what no port may send, and the size of TCP's segments.

A bridge may have hundreds of ports, with a station behind each that no other may pass for: so each rule is one for all
ports, with sets of what is whose. Only floods are counted port by port. What most frames are passes few rules: the
others are in chains of their own. Here, too, a rule asks for the names of interfaces last (`element.plan.firewall`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from element.model import BridgePort, Config, Interface, Kind
from element.plan import firewall6, stations

COUNTERS = ("bpdu-filtered", "broadcast-limited", "gateway-spoofed", "router-imitated", *stations.COUNTERS)
MSS_DIFFERENCE = 20
"""So much longer is an IPv6 header than one of IPv4."""
_FLOODS, _STATIONS = "floods", "stations"
_OF = {"arp": "of-arp", "ip": "of-ip", "ip6": "of-ip6"}
"""Chains by what is in a frame."""


def frames(config: Config) -> Iterator[str]:
    """What no port may send: the addresses of a gateway or of others' stations, what only routers say, floods.

    Most frames are of no protected station and none of the few that have to be looked into.
    """
    if not any(True for _ in _ports(config)):
        return
    if macs := sorted({mac for bridge in config.of_kind(Kind.BRIDGE) for mac in _macs(bridge)}):
        yield f"ether saddr {_set(macs)} jump {_STATIONS}"
    if ways := [
        f"{protocol} : jump {chain}" for protocol, chain in _OF.items() if any(True for _ in _said(config, protocol))
    ]:
        yield f"meta protocol vmap {_set(ways)}"
    yield f"meta pkttype {{ broadcast, multicast }} jump {_FLOODS}"


def chains(config: Config) -> Iterator[tuple[str, list[str]]]:
    """What `frames` jumps to, by name."""
    for name, rules in (
        (_STATIONS, _sent(config)),
        *((chain, _said(config, protocol)) for protocol, chain in _OF.items()),
        (_FLOODS, _floods(config)),
    ):
        if listed := list(rules):
            yield name, listed


def _sent(config: Config) -> Iterator[str]:
    """A station's MAC address is the source only of what comes from where it is at home."""
    for bridge, ports in _bridges(config):
        if macs := _macs(bridge):
            yield f"{_elsewhere(macs, 'ether saddr', ports)} {_SPOOFED}"


def _said(config: Config, protocol: str) -> Iterator[str]:
    """What ARP and neighbour discovery say of an IP address comes from where that is at home; what only a router or a
    DHCP server says, from where the gateway is."""
    for bridge, ports in _bridges(config):
        yield from _claims(bridge, ports, protocol)
    if guarded := _guarded(config):
        source = f"iifname {_names(guarded)}"
        if protocol == "ip6":
            yield from firewall6.of_a_router(source)
        elif protocol == "ip":
            yield stations.guard(source)


def _floods(config: Config) -> Iterator[str]:
    """Of broadcasts and multicasts: no BPDUs (IEEE 802.1Q, 8.6.3), and of each port so many a second."""
    if names := [interface for interface, _ in _ports(config)]:
        yield f"ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 iifname {_names(names)} {_drop('bpdu-filtered')}"
    for interface, port in _ports(config):
        limit = f"limit rate over {port.broadcast_limit}/second burst {max(port.broadcast_limit // 4, 5)} packets"
        yield f'iifname "{interface.name}" {limit} {_drop("broadcast-limited")}'


def segments(config: Config) -> Iterator[str]:
    """A fixed clamp of TCP's MSS: bridges know no path MTU (``rt mtu`` is for routed packets)."""
    for bridge in config.of_kind(Kind.BRIDGE):
        if bridge.bridge and (mss := bridge.bridge.tcp_mss):
            for family, size in (("ip", mss), ("ip6", mss - MSS_DIFFERENCE)):
                match = f'meta ibrname "{bridge.name}" meta protocol {family} tcp flags syn'
                yield f"{match} tcp option maxseg size > {size} tcp option maxseg size set {size}"


def _claims(bridge: Interface, ports: str, protocol: str) -> Iterator[str]:
    # The protocol is not left to nft: it would ask for the type behind the MACs, which in tagged frames is the VLAN's.
    if protocol == "arp" and (old := _homes(bridge, lambda _, addresses: [a for a in addresses if ":" not in a])):
        yield f"meta protocol arp {_elsewhere(old, 'arp saddr ip', ports)} {_SPOOFED}"
    if protocol == "ip6" and (new := _homes(bridge, firewall6.of_a_station)):
        yield f"meta protocol ip6 {_elsewhere(new, 'ip6 saddr', ports)} {_SPOOFED}"
        yield f"{firewall6.ADVERTISED} {_elsewhere(new, 'icmpv6 taddr', ports)} {_SPOOFED}"


def _macs(bridge: Interface) -> dict[str, str | None]:
    return _homes(bridge, lambda mac, _: [mac])


def _homes(bridge: Interface, kind: Callable[[str, Iterable[str]], Iterable[str]]) -> dict[str, str | None]:
    """Addresses of one kind, of MAC and IP addresses that belong together, with the ports behind which they are: none
    for the bridge's own, and for what is said to be behind two."""
    found: dict[str, str | None] = {}
    if bridge.bridge is None:
        return found
    for station in bridge.bridge.stations:
        for address in kind(station.mac, station.addresses):
            found[address] = station.port if found.get(address, station.port) == station.port else None
    if bridge.bridge.mac:
        own = [address.partition("/")[0] for address in bridge.addresses]
        found |= dict.fromkeys(kind(bridge.bridge.mac, own))
    return found


def _elsewhere(homes: Mapping[str, str | None], what: str, ports: str) -> str:
    """Matches what comes from one of the ports and has an address that is not behind it."""
    pairs = [f'"{port}" . {address}' for address, port in homes.items() if port]
    unless = f" iifname . {what} != {_set(pairs)}" if pairs else ""
    return f"{what} {_set(homes)} iifname {ports}{unless}"


def _guarded(config: Config) -> list[Interface]:
    """Ports of bridges that have a gateway, which is elsewhere than behind these."""
    homes = {
        bridge.name: {station.port for station in own.stations}
        for bridge in config.of_kind(Kind.BRIDGE)
        if (own := bridge.bridge) is not None and (own.mac is not None or own.stations)
    }
    return [i for i, port in _ports(config) if port.bridge in homes and i.name not in homes[port.bridge]]


def _bridges(config: Config) -> Iterator[tuple[Interface, str]]:
    """Bridges that have ports, and the set of these."""
    for bridge in config.of_kind(Kind.BRIDGE):
        if own := [interface for interface, port in _ports(config) if port.bridge == bridge.name]:
            yield bridge, _names(own)


def _ports(config: Config) -> Iterator[tuple[Interface, BridgePort]]:
    return ((i, i.port) for i in config.interfaces if i.port)


def _names(interfaces: Iterable[Interface]) -> str:
    return _set(f'"{i.name}"' for i in interfaces)


def _set(items: Iterable[str]) -> str:
    return "{ " + ", ".join(items) + " }"


def _drop(counter: str) -> str:
    return f'counter name "{counter}" drop'


_SPOOFED = _drop("gateway-spoofed")

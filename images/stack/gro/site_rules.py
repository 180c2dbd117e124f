"""What of a site must fit together, beyond what its schema can say: each fault with the place of the member to blame
and what would mend it.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from stackkit.prefixes import overlapping

from gro.ordered import Json, Network, Site

Fault = tuple[str, str]
"""JSON pointer within the site's value, and text."""

_PORTS = ("tcp", "udp", 6, 17, 132)


def faults(site: Site) -> Iterator[Fault]:
    yield from _access(site)
    yield from _dhcp(site)
    if site.local_internet is not None:
        yield from _rules(site.local_internet.get("rules", []))


def neighbours(fresh: Mapping[str, Site], others: Iterable[Site]) -> Iterator[tuple[str, Fault]]:
    """What keeps new or changed sites (by name) from their places beside each other and beside the tenant's others,
    of which there may be several versions; with the name of the site to blame."""
    sites = [*others, *fresh.values()]
    at_device: defaultdict[str, list[Site]] = defaultdict(list)
    for site in sites:
        for neighbour in at_device[site.device]:
            if site.name in fresh and neighbour.name != site.name:
                yield from ((site.name, fault) for fault in _same_device(site, neighbour))
        at_device[site.device].append(site)
    for (other, theirs), (name, own) in overlapping(
        (site.name, network) for site in sites for network in site.networks
    ):
        if name in fresh:
            yield name, (gateway_of(own), f"{own} overlaps {theirs} of site {other}")


def vacated(new: Mapping[str, Site], before: Iterable[Site]) -> Iterator[tuple[str, Fault]]:
    """What keeps new sites (by name) from places that others leave with the same order: undone, it gives them back."""
    at_device: defaultdict[str, list[Site]] = defaultdict(list)
    for site in before:
        at_device[site.device].append(site)
    for site in new.values():
        for other in at_device[site.device]:
            for place, _ in _same_device(site, other):
                text = f"site {other.name} leaves this place with this order: it is free only when the order has ended"
                yield site.name, (place, f"{text}, order this site then")


def gateway_of(network: Network) -> str:
    """Where the gateway is that has the site's prefix."""
    return "/gateway" if network.version == 4 else "/gateway6"


def _same_device(site: Site, other: Site) -> Iterator[Fault]:
    if site.access == other.access == "routed":
        text = f"this device serves a site already: {other.name} is routed, and a device has one routed site; "
        yield "/device", f"{text}give another device, or access bridged"
    elif site.port == other.port and site.access != other.access:
        text = f"port {site.port} of this device serves the {other.access} site {other.name} already"
        yield "/port", f"{text}: a routed site has its port to itself, give another port"
    elif (site.port, site.vlan) == (other.port, other.vlan):
        vlan = "untagged" if site.vlan is None else f"VLAN {site.vlan}"
        text = f"port {site.port} ({vlan}) of this device serves site {other.name} already"
        yield "/port" if site.vlan is None else "/vlan", f"{text}: give another port or VLAN"


def _access(site: Site) -> Iterator[Fault]:
    bridged = site.access == "bridged"
    if site.vlan is not None and not bridged:
        yield "/vlan", "a routed site has the port to itself: leave vlan out, or give access bridged"
    if site.encapsulation is not None and bridged:
        text = f"the frames of a bridged site are in VXLAN, which {site.encapsulation!r} is not"
        yield "/encapsulation", f"{text}: leave encapsulation out, or give access routed"
    if site.encapsulation == "vxlan" and not bridged:
        yield "/encapsulation", "VXLAN is for bridged sites: give gre or none, or access bridged"
    if site.transport is not None and not bridged:
        yield "/transport", "a private line carries VXLAN: give access bridged, or transport ipsec"
    if site.transport is not None and site.port == "line":
        yield "/port", "the port line is the private line itself: give the port of the LAN"
    if site.local_internet is not None and bridged:
        text = "the gateway of a bridged site is at the POP, its packets cannot leave at the site"
        yield "/localInternet", f"{text}: leave localInternet out, or give access routed"


def _dhcp(site: Site) -> Iterator[Fault]:
    if site.dhcp is None:
        return
    network, gateway = site.network, ipaddress.IPv4Interface(site.gateway).ip
    start, end = (ipaddress.IPv4Address(site.dhcp[member]) for member in ("start", "end"))
    for member, address in (("start", start), ("end", end)):
        if address not in network or address in (network.network_address, network.broadcast_address):
            yield f"/dhcp/{member}", f"{address} is no host of {network}, the gateway's network"
    if end < start:
        yield "/dhcp/end", f"{end} is before the first address, {start}: exchange them"
    elif start <= gateway <= end:
        yield "/dhcp/start", f"the gateway {gateway} is between {start} and {end}: leave it out of what is given away"


def _rules(rules: Iterable[Json]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, rule in enumerate(rules):
        where = f"/localInternet/rules/{index}"
        if rule["name"] in seen:
            yield f"{where}/name", f"two rules are called {rule['name']}"
        seen.add(rule["name"])
        for member in ("sourcePort", "destinationPort"):
            if member in rule and rule.get("protocol") not in _PORTS:
                yield f"{where}/{member}", "ports are those of a protocol: give protocol tcp or udp"
        ends = [rule[member] for member in ("source", "destination") if member in rule]
        if len({":" in one for one in ends}) > 1:
            yield f"{where}/destination", "source and destination are of one family: both IPv4, or both IPv6"

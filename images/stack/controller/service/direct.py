"""Direct paths between sites (elasticlab-access, direct-paths): which pairs of a VPN may have one, and which can.

A box can be reached from outside when its call home comes from the address that it has itself. Of two boxes one must
be so; two behind NATs could only meet with somebody's mediation (RFC 8445). But NAT is of IPv4: two boxes that both
have a global address of IPv6 meet there. If something in between lets nobody in, the tunnel does not come up, and
theirs is the way by the POP, as it is for all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import combinations

from controller.service.facts import DeviceFacts
from controller.service.intent import Intent
from controller.service.site import Mode, Site


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sites, in the order of their devices, and the VPNs with direct paths that have both."""

    first: Site
    second: Site
    vpns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Why two sites have no direct path, for people."""

    site: str
    peer: str
    text: str


def pairs(intent: Intent) -> list[Pair]:
    """All pairs that ask for a direct path."""
    shared: dict[tuple[str, str], list[str]] = {}
    sites = {site.id: site for site in intent.sites}
    for vpn in intent.vpns.values():
        if not vpn.direct:
            continue
        members = sorted(intent.members[vpn.id], key=lambda s: (s.device, s.id))
        for first, second in combinations(members, 2):
            if first.device != second.device:
                shared.setdefault((first.id, second.id), []).append(vpn.id)
    return [Pair(sites[one], sites[two], tuple(vpns)) for (one, two), vpns in sorted(shared.items())]


def obstacle(pair: Pair) -> str | None:
    """What about the sites themselves rules a direct path out."""
    for site in (pair.first, pair.second):
        if site.mode is Mode.BRIDGED:
            return f"site {site.id} is bridged, its gateway is at the POP"
        if site.plain:
            return f"site {site.id} has plain IPsec, whose selectors lead to the POP"
    return None


def eligible(intent: Intent) -> list[Pair]:
    """Pairs that have a direct path if their boxes can reach each other."""
    return [pair for pair in pairs(intent) if obstacle(pair) is None]


def notes(intent: Intent, inventory: Mapping[str, DeviceFacts], concerned: Iterable[str]) -> Iterator[Note]:
    """Why pairs with one of these sites exchange their packets by the POP."""
    wanted = frozenset(concerned)
    for pair in pairs(intent):
        if wanted.isdisjoint((pair.first.id, pair.second.id)):
            continue
        reason = obstacle(pair) or _unreachable(pair, inventory)
        if reason is not None:
            text = f"no direct path between {pair.first.id} and {pair.second.id}: {reason}; they are relayed by the POP"
            yield Note(pair.first.id, pair.second.id, text)


def _unreachable(pair: Pair, inventory: Mapping[str, DeviceFacts]) -> str | None:
    devices = (pair.first.device, pair.second.device)
    for name in devices:
        if name not in inventory:
            return f"device {name} has not come yet"
    one, two = (inventory[name] for name in devices)
    if call(one, two) is not None:
        return None
    for facts in (one, two):
        if facts.reachable is None:
            return f"{facts.name} has not called since, so that nobody knows whether it can be reached from outside"
    if one.reachable or two.reachable:
        return f"{devices[0]} and {devices[1]} have no family of IP in common"
    lacking = " and ".join(facts.name for facts in (one, two) if facts.global6 is None)
    has = "have no global IPv6 address" if " and " in lacking else "has none of IPv6 that is global"
    return f"{devices[0]} and {devices[1]} are both behind NAT, so that neither can call the other, and {lacking} {has}"


@dataclass(frozen=True, slots=True)
class Call:
    """Who of two begins, and where the other is called."""

    by_first: bool
    address: str


def call(first: DeviceFacts, second: DeviceFacts) -> Call | None:
    """How two devices come to a tunnel, if they can. Whoever cannot be called, calls; else the first one."""
    for caller, called in ((first, second), (second, first)):
        if (address := _seen(caller, called)) is not None:
            return Call(caller is first, address)
    if first.global6 is not None and second.global6 is not None:
        return Call(True, second.global6)
    return None


def _seen(caller: DeviceFacts, called: DeviceFacts) -> str | None:
    """Where the one was seen to be itself, if the other has that family of IP."""
    if not called.reachable or called.called_from is None:
        return None
    own = caller.wan_address if ip_address(called.called_from).version == 4 else caller.wan6_address
    return None if own is None else called.called_from

"""Numbers of the network: who has which. A pure function of what is wanted and of what was given before.

A number stays with its owner as long as the owner is there, over restarts too (``store``); it is freed with the
owner, and never two have it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from yangkit import ApplyError

from controller.service import direct, peerings
from controller.service.intent import Intent
from controller.service.site import Mode, Site

Key = tuple[str, str, str]
"""Kind of number, its scope (a device, where numbers are a device's own), and its owner."""
Table = Mapping[Key, int]

TENANT, BRANCH, POP, HOME, IF_ID, VNI = "tenant", "branch", "pop", "home", "if-id", "vni"
CLOUD = "cloud"
# The YANG modules' ranges (elasticlab-tenant, elasticlab-ipsec, elasticlab-vxlan), and 100.127.0.0/16 for loopbacks.
POOLS = {
    TENANT: (1, 4095),
    BRANCH: (1, 255 * 254),
    POP: (1, 254),
    IF_ID: (1, 2**32 - 1),
    VNI: (1020, 16777214),
    CLOUD: (1, 65535),
}


@dataclass(frozen=True)
class Allocations:
    """The numbers that are given."""

    table: Table = field(default_factory=dict)

    def tenant(self, name: str) -> int:
        """Id of a tenant: conntrack zone and VRF of every device."""
        return self.table[TENANT, "", name]

    def branch(self, device: str) -> int:
        """Number of a site's device."""
        return self.table[BRANCH, "", device]

    def pop(self, device: str) -> int:
        """Number of a POP's router."""
        return self.table[POP, "", device]

    def home(self, device: str) -> str | None:
        """The POP's router that a site's device has its tunnel with."""
        number = self.table.get((HOME, "", device))
        return next((key[2] for key, value in self.table.items() if key[0] == POP and value == number), None)

    def homes(self) -> dict[str, str]:
        """The same for all devices of sites."""
        names = {value: key[2] for key, value in self.table.items() if key[0] == POP}
        return {key[2]: names[value] for key, value in self.table.items() if key[0] == HOME}

    def if_id(self, device: str, peer: str) -> int:
        """Number of a device's tunnel interface towards a peer."""
        return self.table[IF_ID, device, peer]

    def flow_if_id(self, device: str, peer: str, site: str) -> int:
        """Number of a device's tunnel interface for the packets of one site, without GRE."""
        return self.table[IF_ID, device, _flow(peer, site)]

    def cloud(self, key: str) -> int:
        """Number of a cloud access."""
        return self.table[CLOUD, "", key]

    def vni(self, site: str) -> int | None:
        """VNI of a bridged site."""
        return self.table.get((VNI, "", site))


LOOPBACKS, LINES = IPv4Address("100.127.0.0"), IPv4Address("100.126.0.0")
LINE_PREFIX = 16


def _branch(base: IPv4Address, number: int) -> str:
    """Base.N.1 up from N=1; when N is used up, base.N.2, and so on."""
    block, place = divmod(number - 1, 255)
    return str(base + ((place + 1) << 8) + block + 1)


def branch_loopback(number: int) -> str:
    """100.127.N.1"""
    return _branch(LOOPBACKS, number)


def pop_loopback(number: int) -> str:
    """100.127.0.n"""
    return str(LOOPBACKS + number)


def branch_line(number: int) -> str:
    """100.126.N.1, on private lines."""
    return _branch(LINES, number)


def pop_line(number: int) -> str:
    """100.126.0.n, on private lines."""
    return str(LINES + number)


def allocate(intent: Intent, pops: Iterable[str], previous: Table) -> Allocations:
    """Numbers for all of the intent: those there were, freed where nobody wants them, new ones from below.

    ``pops`` are the POP routers that may take new sites. ApplyError (resource-denied) when a pool is used up.
    """
    homes = _homes(intent, sorted(set(pops)), previous)
    # Sites first: a cloud or a direct path more changes no number of theirs.
    wanted = [*_wanted(intent, homes), *_peerings(intent, homes)]
    table: dict[Key, int] = {key: previous[key] for key, _ in wanted if key in previous}
    free = _Pools(table)
    for key, path in wanted:
        if key not in table:
            table[key] = free.take(key, path)
    table |= {(HOME, "", branch): table[POP, "", pop] for branch, pop in homes.items()}
    return Allocations(dict(sorted(table.items())))


def _peerings(intent: Intent, homes: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    """Numbers for tunnels that are none between a site and its POP: to clouds, and between boxes."""
    for cloud in peerings.clouds(intent):
        sites = intent.users(cloud)
        if sites:
            yield (CLOUD, "", cloud.key), cloud.path
        for home in sorted({homes[site.device] for site in sites if site.device in homes}):
            yield (IF_ID, home, cloud.key), cloud.path
    for pair in direct.eligible(intent):
        one, two = pair.first.device, pair.second.device
        yield (IF_ID, one, two), pair.first.path
        yield (IF_ID, two, one), pair.second.path


def _homes(intent: Intent, pops: list[str], previous: Table) -> dict[str, str]:
    """Who is at home where: where it was, else at the router with the fewest sites."""
    before = Allocations(previous).homes()
    branches = sorted(site.device for site in intent.sites)
    homes = {branch: before[branch] for branch in branches if branch in before}
    load = Counter(homes.values())
    for branch in branches:
        if branch not in homes and pops:
            chosen = min(pops, key=lambda pop: (load[pop], pop))
            homes[branch] = chosen
            load[chosen] += 1
    return homes


def _wanted(intent: Intent, homes: Mapping[str, str]) -> Iterator[tuple[Key, str]]:
    """Who needs a number, and where in the intent that is said."""
    seen: set[Key] = set()
    for site in intent.sites:
        tenant = intent.tenant(site)
        keys: list[Key] = [(TENANT, "", tenant), (BRANCH, "", site.device)]
        if site.mode is Mode.BRIDGED:
            keys.append((VNI, "", site.id))
        home = homes.get(site.device)
        if home is not None:
            keys += [(POP, "", home), *_tunnels(site, home)]
        for key in keys:
            if key not in seen:
                seen.add(key)
                yield key, site.path


def _tunnels(site: Site, home: str) -> list[Key]:
    """The tunnel interfaces of a site's devices: for the box as a whole, and for what travels by itself."""
    if site.on_line:
        return []
    both = ((site.device, home), (home, site.device))
    keys: list[Key] = [(IF_ID, here, peer) for here, peer in both]
    if site.plain:
        keys += [(IF_ID, here, _flow(peer, site.id)) for here, peer in both]
    return keys


def _flow(peer: str, site: str) -> str:
    """Owner of a number; names of devices have no space."""
    return f"{peer} {site}"


class _Pools:
    """What is free: numbers below the mark of a pool have been looked at."""

    def __init__(self, table: Table) -> None:
        self._used: dict[tuple[str, str], set[int]] = {}
        self._mark: dict[tuple[str, str], int] = {}
        for (kind, scope, _), number in table.items():
            self._used.setdefault((kind, scope), set()).add(number)

    def take(self, key: Key, path: str) -> int:
        kind, scope, _ = key
        first, last = POOLS[kind]
        used = self._used.setdefault((kind, scope), set())
        number = self._mark.get((kind, scope), first)
        while number in used:
            number += 1
        if number > last:
            message = f"no {kind} number is left ({first} to {last} are taken): remove what is not needed"
            raise ApplyError(message, path, "resource-denied")
        used.add(number)
        self._mark[kind, scope] = number + 1
        return number

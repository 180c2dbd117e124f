"""Resources: what the kernel and charon hold, one typed value each.

Every resource has a *key* (what it is) and values (how it is). A table of resources is a mapping from key to
resource; the wanted and the actual table are made of the same types, so that their difference is a pure function.
A value of ``None`` in a wanted resource means: whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

ROUTE_PROTOCOL = 77
"""rtm_protocol of every route and rule that is ours (rtnetlink(7): above 4 is free for daemons)."""

LINK_GROUP = 4077
"""Group of every link that we made or configured: the mark by which they are found again after a restart."""

MARK_MASK = 0xFFFF
"""Bits of a packet's mark that rules look at, unless they say otherwise."""

MANAGEMENT = "eth0"
"""The management network's interface: not ours to change."""


Key = tuple[object, ...]


class Resource:
    """Base of all resources."""

    fixed: ClassVar[frozenset[str]] = frozenset()
    """Values that cannot be changed in place: the resource is made anew."""

    @property
    def key(self) -> Key:
        """What it is."""
        raise NotImplementedError

    @property
    def needs(self) -> tuple[str, ...]:
        """Links without which it cannot be."""
        return ()

    @property
    def path(self) -> str | None:
        """Where in the configuration it comes from (RFC 7951, section 6.11), as far as can be told."""
        return None

    def without(self, links: set[str]) -> Self | None:
        """What of it can be without these links; None: nothing."""
        return None if links.intersection(self.needs) else self

    def differs(self, actual: Resource) -> frozenset[str]:
        """Names of the values in which the actual resource is not as wanted."""
        names = (f.name for f in fields(self) if f.compare)  # type: ignore[arg-type]
        return frozenset(n for n in names if (want := getattr(self, n)) is not None and want != getattr(actual, n))


def _interface_path(name: str) -> str:
    return f"/ietf-interfaces:interfaces/interface[name='{name}']"


@dataclass(frozen=True, slots=True)
class Link(Resource):
    """A network device. ``kind`` is the kernel's (``vrf``, ``xfrm``, …), or ``port`` for what was plugged in."""

    fixed: ClassVar[frozenset[str]] = frozenset(
        {"kind", "table", "if_id", "vni", "local", "remote", "underlay", "vlan_aware"}
    )

    name: str
    kind: str
    up: bool = True
    group: int = LINK_GROUP
    mtu: int | None = None
    mac: str | None = None
    master: str = ""
    forwarding: bool = False
    ipv6: str = "off"
    """``host``, ``router`` (forwards), ``off``; ``other`` is how only a kernel has it by itself."""
    slaac: bool = False
    """Linux takes addresses and default routes from routers there."""
    dhcp6: bool = False
    """Linux takes default routes from routers there, and no addresses."""
    # of a VRF
    table: int | None = None
    # of an IPsec tunnel interface
    if_id: int | None = None
    # of GRE and VXLAN
    vni: int | None = None
    local: str | None = None
    remote: str | None = None
    underlay: str | None = None
    # of a bridge and of its ports
    vlan_aware: bool | None = None
    learning: bool | None = None

    @property
    def key(self) -> Key:
        return ("link", self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(n for n in (self.master, self.underlay) if n)

    @property
    def path(self) -> str:
        if self.kind == "vrf":
            return f"/elasticlab-tenant:tenants/tenant[name='{self.name}']"
        return _interface_path(self.name)


@dataclass(frozen=True, slots=True)
class Vlan(Resource):
    """A VLAN on a port of a bridge."""

    port: str
    vid: int
    pvid: bool
    untagged: bool

    @property
    def key(self) -> Key:
        return ("vlan", self.port, self.vid)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.port,)

    @property
    def path(self) -> str:
        return f"{_interface_path(self.port)}/elasticlab-bridge:bridge-port"


@dataclass(frozen=True, slots=True)
class StationEntry(Resource):
    """A static entry of a bridge's forwarding database; learning cannot move it."""

    port: str
    mac: str
    vlan: int

    @property
    def key(self) -> Key:
        return ("station", self.port, self.mac, self.vlan)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.port,)


@dataclass(frozen=True, slots=True)
class Address(Resource):
    """An IP address of a link, ``10.1.0.1/24``."""

    link: str
    address: str
    unsure: bool = field(default=False, compare=False)
    """Who gave it may be wrong: neighbours are asked first whether it is theirs (RFC 4862, section 5.4)."""

    @property
    def key(self) -> Key:
        return ("address", self.link, self.address)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link,)

    @property
    def path(self) -> str:
        family = "ipv6" if ":" in self.address else "ipv4"
        return f"{_interface_path(self.link)}/ietf-ip:{family}/address[ip='{self.address.partition('/')[0]}']"


@dataclass(frozen=True, slots=True)
class Route(Resource):
    """A route; ``kind`` is ``unicast``, ``blackhole``, ``unreachable`` or ``prohibit``."""

    table: int
    prefix: str
    metric: int = 0
    kind: str = "unicast"
    gateway: str | None = None
    link: str | None = None
    source: str | None = None
    tracked: str | None = None
    """Wanted only while this connection is established; of a route that is, nothing is said."""

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.prefix else 4

    @property
    def key(self) -> Key:
        return ("route", self.table, self.prefix, self.metric)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link,) if self.link else ()

    @property
    def path(self) -> str:
        return "/ietf-routing:routing"


@dataclass(frozen=True, slots=True)
class Rule(Resource):
    """A rule of the routing policy: packets with ``mark`` or from ``source`` that arrive on ``link`` (``lo``: the box's
    own) use ``table``; without either it is the VRFs' own rule. The link matters: a VXLAN packet is routed with the
    mark of the packet inside it, and a tenant's may have any source."""

    priority: int
    mark: int | None = None
    table: int | None = None
    link: str | None = None
    family: int = 4
    mask: int = MARK_MASK
    protocol: int | None = None
    source: str | None = None

    @property
    def key(self) -> Key:
        which = (self.mark, self.mask, self.link, self.protocol, self.source)
        return ("rule", self.priority, self.table, self.family, *which)

    @property
    def is_vrfs(self) -> bool:
        """Is it the VRFs' own?"""
        return self.mark is None and self.source is None

    @property
    def path(self) -> str | None:
        if self.source:
            return "/ietf-routing:routing"
        return "/elasticlab-nat:nat" if self.mark else "/elasticlab-tenant:tenants"


@dataclass(frozen=True, slots=True)
class LocalRule(Resource):
    """The rule that finds the underlay's own addresses, wherever it is in the routing policy. Linux has it first (0):
    then whatever is the box's in the underlay is the box's in every VRF, and no tenant can have such an address."""

    family: int
    priorities: tuple[int, ...]

    @property
    def key(self) -> Key:
        return ("local-rule", self.family)


@dataclass(frozen=True, slots=True)
class Ruleset(Resource):
    """The packet filter as a whole; equal revisions are equal rules. ``text`` matters only where it is wanted."""

    revision: str
    text: str = ""

    @property
    def key(self) -> Key:
        return ("ruleset",)

    def differs(self, actual: Resource) -> frozenset[str]:
        same = isinstance(actual, Ruleset) and actual.revision == self.revision
        return frozenset() if same else frozenset({"revision"})


@dataclass(frozen=True, slots=True)
class FlowTable(Resource):
    """The devices, sorted, by which packets come to the fast path of a ruleset of this revision."""

    devices: tuple[str, ...]
    revision: str

    @property
    def key(self) -> Key:
        return ("flow-table",)

    @property
    def needs(self) -> tuple[str, ...]:
        return self.devices

    def without(self, links: set[str]) -> Self | None:
        left = tuple(d for d in self.devices if d not in links)
        return replace(self, devices=left) if left else None


@dataclass(frozen=True, slots=True)
class Setting(Resource):
    """A kernel setting below /proc/sys that does not belong to a link."""

    name: str
    value: str

    @property
    def key(self) -> Key:
        return ("setting", self.name)


@dataclass(frozen=True, slots=True)
class Credential(Resource):
    """A certificate with its key (``own``), or a CA with its revocation list, by name; ``digest`` tells versions."""

    name: str
    own: bool
    digest: str | None = None

    @property
    def key(self) -> Key:
        return ("credential", self.name, self.own)

    @property
    def path(self) -> str:
        return "/elasticlab-ipsec:ipsec/pad"


@dataclass(frozen=True, slots=True)
class SharedKey(Resource):
    """A key that two identities share. Whoever prints it sees whose it is and no more; ``digest`` tells versions.

    ``owners`` are those of the two by which charon finds it: those that have no other key.
    """

    local_id: str
    remote_id: str
    digest: str = field(repr=False)
    owners: tuple[str, ...] = ()
    value: str = field(default="", repr=False)

    @property
    def key(self) -> Key:
        return ("shared-key", self.local_id, self.remote_id)

    @property
    def path(self) -> str:
        return "/elasticlab-ipsec:ipsec/pad"

    def differs(self, actual: Resource) -> frozenset[str]:
        same = isinstance(actual, SharedKey) and (actual.digest, actual.owners) == (self.digest, self.owners)
        return frozenset() if same else frozenset({"digest"})


@dataclass(frozen=True, slots=True)
class Ike(Resource):
    """A connection as charon has it: the vici message."""

    name: str
    message: str

    @property
    def key(self) -> Key:
        return ("ike", self.name)

    @property
    def path(self) -> str:
        return f"/elasticlab-ipsec:ipsec/conn-entry[name='{self.name}']"


Table = dict[Key, Resource]


def table(resources: Iterable[Resource]) -> Table:
    """A table of resources; two of one key are a mistake of the caller."""
    result: dict[Key, Any] = {}
    for resource in resources:
        if resource.key in result:
            raise ValueError(f"two resources with the key {resource.key}")
        result[resource.key] = resource
    return result

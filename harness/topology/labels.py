"""The words containerlab has no field for: labels of nodes that begin with `elasticlab.`, all of them listed here.

| label | value | meaning |
|---|---|---|
| `elasticlab.role` | `ucpe` `vmsr` `vpcgw` `stack` `host` `router` `nat` `server` | what it is |
| `elasticlab.site` | a name (a-z, 0-9, hyphen) | the site the node stands in |
| `elasticlab.tier` | `embedded` `access-board` `aio` `rack` | hardware, and so limits (`harness.topology.tiers`) |
| `elasticlab.model` | up to 64 printable characters | the device model in its identity |
| `elasticlab.serial` | 3 to 32 of A-Z, 0-9, hyphen | its serial number; none: drawn at the first `up` |
| `elasticlab.disk` | `64MiB` (16MiB to 8GiB) | the node has a disk of its own, for all that it writes |
| `elasticlab.wan` | `dhcp` (default), `slaac`, `dhcp6`, `ADDRESS/LENGTH via GATEWAY`, one a family | of `wan` |
| `elasticlab.wan2` | as `elasticlab.wan`; none by default | the same for `wan2`, a box's second uplink |
| `elasticlab.bootstrap` | comma list of `https://ADDRESS:PORT` | a box's preset bootstrap servers |
| `elasticlab.requires` | comma list of the features below | kernel needs beside what the role implies |
| `elasticlab.ready` | comma list of `tcp:PORT`, `file:/PATH`, `ping:ADDRESS` | ready when all hold |

Those of links are in `harness.topology.impairments`. Any other label passes through untouched; an unknown
`elasticlab.` label is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

from .tiers import TIERS
from .units import octets

PREFIX = "elasticlab."

FEATURES = frozenset({"esp", "gre", "netem", "nft-nat", "vlan", "vrf", "vxlan", "xfrm-interface"})
"""What a kernel may lack. veth, bridge and namespaces are not among them: no lab runs without."""

_BOX = frozenset({"esp", "gre", "nft-nat", "vlan", "vrf", "vxlan", "xfrm-interface"})
ROLES: Mapping[str, frozenset[str]] = {
    "ucpe": _BOX,
    "vmsr": _BOX,
    "vpcgw": _BOX - {"gre", "vxlan"},
    "nat": frozenset({"nft-nat"}),
    "host": frozenset(),
    "router": frozenset(),
    "server": frozenset(),
    "stack": frozenset(),
}
"""Each role and the kernel features it implies."""

MIN_DISK, MAX_DISK = 16 * 2**20, 8 * 2**30
"""Room for ext4's journal and some more; half of the disk that all nodes of a lab share."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# X.520 serialNumber; also fit for file names and command lines.
_SERIAL = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{1,30}[A-Z0-9])")
_WAY = re.compile(r"(?P<address>[0-9A-Fa-f.:]+/[0-9]+) via (?P<gateway>[0-9A-Fa-f.:]+)")
_GIVEN = ("dhcp", "slaac", "dhcp6")
_SERVER = re.compile(r"https://(?:(?P<address>[0-9.]+)|\[(?P<address6>[0-9A-Fa-f:]+)\]):(?P<port>[1-9][0-9]{0,4})")
_READY = re.compile(r"tcp:(?P<port>[1-9][0-9]{0,4})|file:/[^\s,]+|ping:(?P<address>[0-9A-Fa-f.:]+)")


@dataclass(frozen=True, slots=True)
class Way:
    """An address of interface `wan` or `wan2`, and the router behind it."""

    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Wan:
    """What interface `wan` or `wan2` is given; nothing at all is DHCP."""

    dhcp: bool = True
    ipv4: Way | None = None
    ipv6: Way | None = None
    slaac: bool = False
    """Address and router of IPv6 come from router advertisements."""
    dhcp6: bool = False
    """The IPv6 address comes by DHCPv6, its router from router advertisements."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Our labels of one node, as values."""

    role: str | None = None
    site: str | None = None
    tier: str | None = None
    disk: int | None = None
    model: str | None = None
    serial: str | None = None
    wan: Wan = Wan()
    wan2: Wan | None = None
    bootstrap: tuple[str, ...] = ()
    requires: frozenset[str] = frozenset()
    ready: tuple[str, ...] = ()


def listed(value: str) -> tuple[str, ...]:
    """A comma list's members, blanks removed."""
    return tuple(item.strip() for item in value.split(","))


def _one_of(words: tuple[str, ...]) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        return None if value in words else f"use one of {', '.join(words)}"

    return check


def _site(value: str) -> str | None:
    return None if _NAME.fullmatch(value) else "use a-z, 0-9 and inner hyphens, at most 63"


def _model(value: str) -> str | None:
    ok = 0 < len(value) <= 64 and value.isascii() and value.isprintable()
    return None if ok else "use 1 to 64 printable ASCII characters"


def _disk(value: str) -> str | None:
    size = octets(value)
    return None if size is not None and MIN_DISK <= size <= MAX_DISK else "write 16MiB to 8GiB, such as 64MiB"


def _requires(value: str) -> str | None:
    wrong = [item for item in listed(value) if item not in FEATURES]
    return f"use a comma list of {', '.join(sorted(FEATURES))}" if wrong else None


def _is_address(text: str | None) -> bool:
    try:
        return text is None or bool(ip_address(text))
    except ValueError:
        return False


def _ready(value: str) -> str | None:
    for item in listed(value):
        match = _READY.fullmatch(item)
        if not match or int(match["port"] or 1) > 65535 or not _is_address(match["address"]):
            return "use a comma list of tcp:PORT, file:/PATH and ping:ADDRESS"
    return None


def _serial(value: str) -> str | None:
    return None if _SERIAL.fullmatch(value) else "use 3 to 32 of A-Z, 0-9 and inner hyphens"


def _wan_of(value: str) -> Wan:
    """The value of `elasticlab.wan` or `elasticlab.wan2`. Raises ValueError."""
    parts = listed(value)
    ways = {way.address.version: way for way in map(_way, (part for part in parts if part not in _GIVEN))}
    dhcp, slaac, dhcp6 = (word in parts for word in _GIVEN)
    if len(ways) + dhcp + slaac + dhcp6 != len(parts) or dhcp + (4 in ways) > 1 or slaac + dhcp6 + (6 in ways) > 1:
        raise ValueError("two of one family")
    return Wan(dhcp, ways.get(4), ways.get(6), slaac, dhcp6)


def _way(value: str) -> Way:
    if not (match := _WAY.fullmatch(value)):
        raise ValueError("neither dhcp nor slaac nor dhcp6 nor ADDRESS/LENGTH via GATEWAY")
    way = Way(ip_interface(match["address"]), ip_address(match["gateway"]))
    if way.gateway not in way.address.network or way.gateway == way.address.ip:
        raise ValueError("the gateway is no neighbour")
    return way


def _wan(value: str) -> str | None:
    try:
        _wan_of(value)
    except ValueError:
        return "use dhcp, slaac, dhcp6, or ADDRESS/LENGTH via GATEWAY with a gateway of the same network, one a family"
    return None


def _bootstrap(value: str) -> str | None:
    for item in listed(value):
        match = _SERVER.fullmatch(item)
        if not match or int(match["port"]) > 65535 or not _is_address(match["address"] or match["address6"]):
            return "use a comma list of https://ADDRESS:PORT, an IPv6 address in brackets"
    return None


LABELS: Mapping[str, Callable[[str], str | None]] = {
    "elasticlab.role": _one_of(tuple(ROLES)),
    "elasticlab.site": _site,
    "elasticlab.tier": _one_of(tuple(TIERS)),
    "elasticlab.disk": _disk,
    "elasticlab.model": _model,
    "elasticlab.serial": _serial,
    "elasticlab.wan": _wan,
    "elasticlab.wan2": _wan,
    "elasticlab.bootstrap": _bootstrap,
    "elasticlab.requires": _requires,
    "elasticlab.ready": _ready,
}
"""Each label and its check, which answers None or the remedy."""


def decode(labels: Mapping[str, str]) -> Decoded:
    """Our labels as values; those that failed their check are left out (their problem is noted already)."""
    ours = {key: value for key, value in labels.items() if key in LABELS and LABELS[key](value) is None}
    role = ours.get("elasticlab.role")
    wanted = frozenset(listed(ours["elasticlab.requires"])) if "elasticlab.requires" in ours else frozenset()
    return Decoded(
        role=role,
        site=ours.get("elasticlab.site"),
        tier=ours.get("elasticlab.tier"),
        disk=octets(ours["elasticlab.disk"]) if "elasticlab.disk" in ours else None,
        model=ours.get("elasticlab.model"),
        serial=ours.get("elasticlab.serial"),
        wan=_wan_of(ours.get("elasticlab.wan", "dhcp")),
        wan2=_wan_of(ours["elasticlab.wan2"]) if "elasticlab.wan2" in ours else None,
        bootstrap=listed(ours["elasticlab.bootstrap"]) if "elasticlab.bootstrap" in ours else (),
        requires=wanted | (ROLES[role] if role else frozenset()),
        ready=listed(ours["elasticlab.ready"]) if "elasticlab.ready" in ours else (),
    )

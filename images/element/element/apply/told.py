"""What the kernel tells of links, addresses, bridges, routes and rules (rtnetlink(7)), as it tells it.

Numbers of attributes are those of linux/if_link.h, if_addr.h, if_bridge.h, neighbour.h, rtnetlink.h and fib_rules.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlinkkit.attributes import Attributes, address, attributes, each, number, text
from netlinkkit.dumps import RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGH, RTM_GETROUTE, RTM_GETRULE, dump

RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x1, 0x10, 0x40
RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x100, 0x400
"""Groups of news (linux/rtnetlink.h)."""
IFLA_EXT_MASK = 29
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
RTEXT_FILTER_BRVLAN, RTEXT_FILTER_SKIP_STATS = 2, 8

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=B3xiHBB")
_ROUTE = struct.Struct("=BBBBBBBBI")
_RULE = struct.Struct("=BBBBBBBBI")
_VLAN = struct.Struct("=HH")
_MASK = struct.Struct("=HHI")
_STATISTICS = struct.Struct("=8Q")

# Numbers of DEVCONF_* (linux/ipv6.h). Of IPv4 forwarding is the first (linux/ip.h).
_IPV6 = {
    "forwarding": 0,
    "accept_ra": 3,
    "accept_redirects": 4,
    "autoconf": 5,
    "disable_ipv6": 26,
    "accept_dad": 27,
    "keep_addr_on_down": 42,
    "addr_gen_mode": 47,
}


class LinkTold:
    """One link."""

    __slots__ = ("_told", "flags", "index", "info", "type")

    def __init__(self, message: bytes) -> None:
        _, self.type, self.index, self.flags, _ = _LINK.unpack_from(message)
        self._told = attributes(message, _LINK.size)
        self.info = attributes(self._told.get(18, b""))
        """What its kind tells of it (IFLA_LINKINFO)."""

    @property
    def name(self) -> str:
        return text(self._told.get(3))

    @property
    def group(self) -> int:
        return number(self._told.get(27)) or 0

    @property
    def mtu(self) -> int | None:
        return number(self._told.get(4))

    @property
    def mac(self) -> str | None:
        """The address of whatever layer it is of."""
        told = self._told.get(1)
        return None if told is None else told.hex(":")

    @property
    def master(self) -> int:
        """Number of the link that it is in, or 0."""
        return number(self._told.get(10)) or 0

    @property
    def has_carrier(self) -> bool:
        return number(self._told.get(33)) == 1

    @property
    def operational_state(self) -> int:
        """IF_OPER_* (RFC 2863)."""
        return number(self._told.get(16)) or 0

    @property
    def statistics(self) -> Sequence[int]:
        """Packets, octets, errors and dropped packets, each received and sent (struct rtnl_link_stats64); zeros where
        none were asked for."""
        told = self._told.get(23, b"")
        return _STATISTICS.unpack_from(told) if len(told) >= _STATISTICS.size else (0,) * 8

    @property
    def kind(self) -> str:
        return text(self.info.get(1))

    @property
    def data(self) -> Attributes:
        """Of its kind: IFLA_VRF_* and the like."""
        return attributes(self.info.get(2, b""))

    @property
    def is_bridge_port(self) -> bool:
        return text(self.info.get(4)) == "bridge"

    @property
    def learns(self) -> bool | None:
        """Whether its bridge takes note of who is there (IFLA_BRPORT_LEARNING); None if it is in none."""
        return number(attributes(self.info.get(5, b"")).get(8)) == 1 if self.is_bridge_port else None

    def settings(self) -> tuple[bool, Mapping[str, str]]:
        """Whether it forwards IPv4, and its settings of IPv6, as in files below /proc/sys/net/ipv6/conf: none where
        the link has no IPv6."""
        families = attributes(self._told.get(26, b""))
        four = _integers(attributes(families.get(socket.AF_INET, b"")).get(1, b""))
        six = _integers(attributes(families.get(socket.AF_INET6, b"")).get(2, b""))
        return four[:1] == (1,), {what: str(six[place]) for what, place in _IPV6.items() if place < len(six)}


@dataclass(frozen=True, slots=True)
class AddressTold:
    """One address of a link."""

    link: int
    address: str
    prefix_length: int
    flags: int
    """IFA_F_*."""
    protocol: int
    """IFAPROT_*; 0 where the kernel tells none."""


@dataclass(frozen=True, slots=True)
class RouteTold:
    """One route."""

    table: int
    prefix: str
    metric: int
    type: int
    """RTN_*."""
    gateway: str | None
    link: int | None
    source: str | None


@dataclass(frozen=True, slots=True)
class RuleTold:
    """One rule, by which a table is chosen."""

    priority: int
    table: int
    mark: int | None
    mask: int | None
    link: str | None
    """By which it came in."""
    source: str | None
    ip_protocol: int | None
    of_vrfs: bool
    """The VRF's own table (FRA_L3MDEV)."""
    protocol: int
    """Who has made it (rtm_protocol)."""


def links(*, counted: bool = False) -> list[LinkTold]:
    """All of this network namespace; ``counted`` with their statistics."""
    mask = 0 if counted else RTEXT_FILTER_SKIP_STATS
    return [LinkTold(message) for message in dump(RTM_GETLINK, _links(socket.AF_UNSPEC, mask))]


def _links(family: int, mask: int) -> bytes:
    return _LINK.pack(family, 0, 0, 0, 0) + _MASK.pack(_MASK.size, IFLA_EXT_MASK, mask)


def addresses() -> Iterator[AddressTold]:
    """All of both versions."""
    for message in dump(RTM_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, length, flags, _, link = _ADDRESS.unpack_from(message)
        told = attributes(message, _ADDRESS.size)
        own = address(told.get(2) or told.get(1))  # IFA_ADDRESS is the other end of a link between two
        if own is not None:
            yield AddressTold(link, own, length, number(told.get(8)) or flags, number(told.get(11)) or 0)


def vlans() -> Iterator[tuple[int, int, int]]:
    """The ports of bridges, a VLAN that each is in, and its flags (BRIDGE_VLAN_INFO_*)."""
    for message in dump(RTM_GETLINK, _links(socket.AF_BRIDGE, RTEXT_FILTER_BRVLAN)):
        _, _, port, _, _ = _LINK.unpack_from(message)
        for kind, content in each(attributes(message, _LINK.size).get(26, b"")):
            if kind == 2:  # IFLA_BRIDGE_VLAN_INFO
                flags, vid = _VLAN.unpack(content)
                yield port, vid, flags


def stations(state: int) -> Iterator[tuple[int, str, int]]:
    """Ports of bridges, the MAC address of a station whose entry is in this state (NUD_*), and its VLAN, or 0."""
    for message in dump(RTM_GETNEIGH, _NEIGHBOUR.pack(socket.AF_BRIDGE, 0, 0, 0, 0)):
        _, port, found, _, _ = _NEIGHBOUR.unpack_from(message)
        if found == state and (told := attributes(message, _NEIGHBOUR.size)).get(9):  # NDA_MASTER
            yield port, told[2].hex(":"), number(told.get(5)) or 0


def neighbours() -> Iterator[tuple[int, str, int]]:
    """Of both versions of IP: the link, the address, and the state (NUD_*)."""
    for message in dump(RTM_GETNEIGH, _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, link, state, _, _ = _NEIGHBOUR.unpack_from(message)
        own = address(attributes(message, _NEIGHBOUR.size).get(1)) if family in _FAMILIES else None
        if own is not None:
            yield link, own, state


def routes(family: int, protocol: int) -> Iterator[RouteTold]:
    """Those of all tables that came from ``protocol`` (rtm_protocol)."""
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    for message in dump(RTM_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0), strict=True):
        _, length, _, _, table, by, _, kind, _ = _ROUTE.unpack_from(message)
        if by != protocol:
            continue
        told = attributes(message, _ROUTE.size)
        yield RouteTold(
            table=number(told.get(15)) or table,
            prefix=f"{address(told.get(1) or anywhere)}/{length}",
            metric=number(told.get(6)) or 0,
            type=kind,
            gateway=address(told.get(5)),
            link=number(told.get(4)),
            source=address(told.get(7)),
        )


def rules(family: int) -> Iterator[RuleTold]:
    """All of one version of IP, in their order."""
    for message in dump(RTM_GETRULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
        table = _RULE.unpack_from(message)[4]
        told = attributes(message, _RULE.size)
        yield RuleTold(
            priority=number(told.get(6)) or 0,
            table=number(told.get(15)) or table,
            mark=number(told.get(10)),
            mask=number(told.get(16)),
            link=text(told[3]) if 3 in told else None,
            source=address(told.get(2)),
            ip_protocol=number(told.get(22)),
            of_vrfs=bool(number(told.get(19))),
            protocol=number(told.get(21)) or 0,
        )


def _integers(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(content) // 4}i", content)

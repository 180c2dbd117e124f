"""Tells neighbours where an address is from now on (RFC 5227, section 2.3; RFC 4861, section 7.2.6).

A gateway may come from another box, or have another MAC address: stations that remember the former one would send to
nobody until they doubt it. It is told when an address comes to an interface, when the interface's own address changes,
and when its cable is plugged in; a few times, for the tunnel or the box between may be made a moment later.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from element.apply import told
from element.apply.link import IFA_F_TENTATIVE, IFF_UP
from element.apply.told import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK, AddressTold, LinkTold
from element.endurance import Endurance
from element.plan.resources import LINK_GROUP

log = logging.getLogger(__name__)

TIMES = (0.0, 2.0, 10.0)
"""Seconds after which it is told: as often as RFC 4861 allows (MAX_NEIGHBOR_ADVERTISEMENT), and not more closely than
either asks for (ANNOUNCE_INTERVAL); a commit that many boxes make together takes some seconds."""
SETTLE = 0.05
"""News come in swarms."""

NEWS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
IFF_NOARP = 0x80
ARPHRD_ETHER = 1

_ETHER = "!6s6sH"
_ARP, _IPV6 = 0x0806, 0x86DD
_EVERYBODY, _ALL_NODES = bytes([255] * 6), bytes.fromhex("333300000001")
_ADVERTISEMENT, _ROUTER, _OVERRIDE, _TARGET_LINK_ADDRESS = 136, 0x80, 0x20, 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is."""

    link: str
    index: int
    mac: str
    address: str
    router: bool = False
    """RFC 4861, section 4.4: stations take what denies it off their list of routers."""

    @property
    def frame(self) -> bytes:
        """What tells it to all on the link."""
        mac, address = bytes.fromhex(self.mac.replace(":", "")), ip_address(self.address)
        return _arp(mac, address) if isinstance(address, IPv4Address) else _advertisement(mac, address, self.router)


def _arp(mac: bytes, address: IPv4Address) -> bytes:
    """A request for one's own address, which nobody answers and all take note of."""
    own = address.packed
    return struct.pack(_ETHER, _EVERYBODY, mac, _ARP) + struct.pack(
        "!HHBBH6s4s6s4s", ARPHRD_ETHER, 0x0800, 6, 4, 1, mac, own, bytes(6), own
    )


def _advertisement(mac: bytes, address: IPv6Address, router: bool) -> bytes:
    source, target = address.packed, IPv6Address("ff02::1").packed
    flags = _OVERRIDE | (_ROUTER if router else 0)
    body = struct.pack("!B3x16sBB6s", flags, source, _TARGET_LINK_ADDRESS, 1, mac)
    head = struct.pack("!BB", _ADVERTISEMENT, 0)
    length = len(head) + 2 + len(body)
    pseudo = struct.pack("!16s16sI3xB", source, target, length, socket.IPPROTO_ICMPV6)
    message = head + struct.pack("!H", _checksum(pseudo + head + bytes(2) + body)) + body
    outer = struct.pack("!IHBB16s16s", 6 << 28, length, socket.IPPROTO_ICMPV6, 255, source, target)
    return struct.pack(_ETHER, _ALL_NODES, mac, _IPV6) + outer + message


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def places() -> frozenset[Place]:
    """The addresses of our links that have neighbours and are plugged in; ``OSError`` where they cannot be read."""
    links = {link.index: link for link in told.links() if _has_neighbours(link)}
    return frozenset(_places(links, told.addresses()))


def _has_neighbours(link: LinkTold) -> bool:
    """Is it ours, plugged in, and of a kind that has any?"""
    if link.group != LINK_GROUP or link.type != ARPHRD_ETHER or link.flags & IFF_NOARP:
        return False
    return bool(link.flags & IFF_UP) and link.has_carrier


def _places(links: Mapping[int, LinkTold], addresses: Iterable[AddressTold]) -> Iterator[Place]:
    for one in addresses:
        if (link := links.get(one.link)) is None or link.mac is None:
            continue
        if one.flags & IFA_F_TENTATIVE:  # it may be somebody else's (RFC 4862, section 5.4)
            continue
        address = ip_address(one.address)
        if address.version == 4:
            yield Place(link.name, link.index, link.mac, one.address)
        elif not address.is_link_local:  # it is made of the MAC address, and goes with it
            _, settings = link.settings()
            yield Place(link.name, link.index, link.mac, one.address, settings.get("forwarding") == "1")


def tell(place: Place) -> None:
    """Tell the neighbours; a link that has gone has none."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((place.link, 0))
            wire.send(place.frame)
    except OSError as error:
        log.debug("%s cannot be told at %s: %s", place.address, place.link, error)


class Announcements:
    """What is to be told, and when."""

    def __init__(self, look: Callable[[], frozenset[Place]] = places, tell: Callable[[Place], None] = tell) -> None:
        self._look, self._tell = look, tell
        self._known: frozenset[Place] = frozenset()
        self._due: dict[Place, list[float]] = {}

    async def run(self) -> None:
        """Never ends by itself."""
        endurance = Endurance(log, "neighbours are not told of addresses")
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news:
            news.bind((0, NEWS))
            news.setblocking(False)
            while True:
                begun = loop.time()
                with endurance:
                    self.take(await asyncio.to_thread(self._look), loop.time())
                # As much rest as it took, as with all that is compared.
                await asyncio.sleep(max(SETTLE, loop.time() - begun))
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self.next):
                        await _news(news)

    @property
    def next(self) -> float | None:
        """When something is to be told again."""
        return min((time for times in self._due.values() for time in times), default=None)

    def take(self, now: frozenset[Place], moment: float) -> None:
        """These are the addresses now: tell of those that are new, and of others again when their time has come."""
        for place in now - self._known:
            self._due[place] = [moment + after for after in TIMES]
        self._known = now
        for place, times in [*self._due.items()]:
            later = [time for time in times if time > moment]
            if place in now and len(later) < len(times):
                self._tell(place)
            if place in now and later:
                self._due[place] = later
            else:
                del self._due[place]


async def _news(news: socket.socket) -> None:
    """Wait for some, and forget what they say: all is looked at."""
    try:
        await asyncio.get_running_loop().sock_recv(news, 65536)
        while news.recv(65536):
            pass
    except OSError:  # no more, or more than fit (ENOBUFS), which is news too
        return

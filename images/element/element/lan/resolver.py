"""Where a LAN's DNS server lives: in a network of its own, behind the gateway like a station of the tenant.

So what it asks its forwarders goes where the tenant's packets go, through tunnel or translation and by the same policy;
it cannot hear any other interface; and servers of tenants with equal addresses do not meet. Not a socket in the VRF:
what leaves a VRF by an interface of the underlay is answered there, where such a socket does not listen.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from element.model import Config, Interface, Kind

SLOTS = 4096
_FIRST = IPv4Address("169.254.64.0")
"""Of 169.254.64.0/19 (RFC 3927: of this link only), a /31 a server (RFC 3021)."""
_FIRST6 = IPv6Address("fd53:e1a5:7c00:53::")
"""Of a prefix as in RFC 4193, a /127 a server (RFC 6164)."""


@dataclass(frozen=True, slots=True)
class Link:
    """The link between gateway (near) and server (far)."""

    slot: int

    @property
    def name(self) -> str:
        """Of the near end."""
        return f"dns-{self.slot}"

    @property
    def near(self) -> tuple[str, str]:
        """The gateway's addresses, IPv4 and IPv6."""
        return str(_FIRST + 2 * self.slot), str(_FIRST6 + 2 * self.slot)

    @property
    def far(self) -> tuple[str, str]:
        """The server's."""
        return str(_FIRST + 2 * self.slot + 1), str(_FIRST6 + 2 * self.slot + 1)


def links(config: Config) -> dict[str, Link]:
    """The links by the interfaces that they serve; a server keeps its place when others come and go, mostly."""
    taken: set[int] = set()
    found = {}
    for interface in sorted((i for i in config.interfaces if i.dns and i.enabled and i.tenant), key=lambda i: i.name):
        slot = zlib.crc32(interface.name.encode()) % SLOTS
        while slot in taken:
            slot = (slot + 1) % SLOTS
        taken.add(slot)
        found[interface.name] = Link(slot)
    return found


def attach(config: Config) -> Config:
    """The configuration with the near ends, as interfaces that are plugged in when a server runs."""
    added = links(config)
    if not added:
        return config
    ends = tuple(_near(config.interface(name), link) for name, link in added.items())
    breakouts = tuple(
        replace(b, inside=b.inside | {link.name for name, link in added.items() if name in b.inside})
        for b in config.breakouts
    )
    return replace(config, interfaces=(*config.interfaces, *ends), breakouts=breakouts)


def _near(served: Interface, link: Link) -> Interface:
    v4, v6 = link.near
    return Interface(
        name=link.name,
        kind=Kind.ETHERNET,
        addresses=(f"{v4}/31", *((f"{v6}/127",) if served.ipv6 else ())),
        forwarding=True,
        ipv6=served.ipv6,
        forwarding6=served.ipv6,
        tenant=served.tenant,
        segments=served.segments,
        serves=served.name,
    )

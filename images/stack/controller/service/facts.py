"""What the controller knows of a device."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

UNIQUE_LOCAL = IPv6Network("fc00::/7")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A registered device; what it has not told yet is None."""

    name: str
    serial: str
    model: str
    personality: str
    wan_address: str | None = None
    """IPv4 address of its interface wan, as it sees it itself."""
    wan_gateway: str | None = None
    wan6_address: str | None = None
    """An IPv6 address of it that is not link-local."""
    wan6_gateway: str | None = None

    called_from: str | None = None
    """Where its call home comes from, as the controller sees it."""

    @property
    def reachable(self) -> bool | None:
        """Does it call from an address that it has, so that others may call it? None: it has not called yet."""
        if self.called_from is None:
            return None
        return self.called_from in (self.wan_address, self.wan6_address)

    @property
    def global6(self) -> str | None:
        """Its address of IPv6 if it is one for all the world (RFC 4193: unique local ones are not)."""
        own = self.wan6_address
        return None if own is None or IPv6Address(own) in UNIQUE_LOCAL else own

    def address_for(self, other: DeviceFacts) -> str | None:
        """Where the other device may call this one: in IPv4 if both have it, else in IPv6."""
        if self.wan_address is not None and (other.wan_address is not None or other.wan6_address is None):
            return self.wan_address
        return self.wan6_address

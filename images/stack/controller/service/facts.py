"""What the controller knows of a device."""

from __future__ import annotations

from dataclasses import dataclass


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
    reachable: bool | None = None
    """Does it call from the address that it has, so that others may call it?"""

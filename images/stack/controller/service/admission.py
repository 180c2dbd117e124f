"""Which sites of a VPN may use a cloud access (RFC 8299, section 6.2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from controller.service.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Admission:
    """All sites of the VPN, some, or all but some."""

    permitted: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()

    def admits(self, site: str) -> bool:
        """May this site of the VPN use it?"""
        return site not in self.denied and (self.permitted is None or site in self.permitted)

    @property
    def everybody(self) -> bool:
        """May all sites of the VPN use it?"""
        return self.permitted is None and not self.denied

    @property
    def named(self) -> frozenset[str]:
        """The sites that it names."""
        return (self.permitted or frozenset()) | self.denied

    @classmethod
    def read(cls, cloud: Cursor) -> Self:
        """From a cloud-access."""
        cloud.information("permit-any")
        permitted, denied = cloud.value("permit-site"), cloud.value("deny-site", ())
        return cls(frozenset(permitted) if permitted else None, frozenset(denied))

"""From when to when the box's own certificates are good, and when new ones are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from random import Random

from cryptography import x509

NAMES = ("netconf", "ike")
SPREAD = 0.05
"""Devices that were taken in together do not come together: so much of a certificate's life sooner or later."""


class Phase(Enum):
    """Where certificates are in their life, by the clock."""

    EARLY = "are not valid yet"
    GOOD = "are good"
    DUE = "are to be renewed"
    ENDED = "have ended"


@dataclass(frozen=True, slots=True)
class Validity:
    """Of all that the box has together."""

    certificates: tuple[tuple[str, x509.Certificate], ...]

    @property
    def start(self) -> datetime:
        """When the last of them begins."""
        return max(c.not_valid_before_utc for _, c in self.certificates)

    @property
    def end(self) -> datetime:
        """When the first of them ends."""
        return min(c.not_valid_after_utc for _, c in self.certificates)

    def due(self, percent: int) -> datetime:
        """When new ones are to be had: after so much of the shortest life, a little sooner or later for each box."""
        chance = Random(self.certificates[0][1].serial_number).uniform(-SPREAD, SPREAD)  # noqa: S311 - no secret
        return self.start + (self.end - self.start) * min(0.98, percent / 100 + chance)

    def phase(self, now: datetime, percent: int) -> Phase:
        """Where they are."""
        if now < self.start:
            return Phase.EARLY
        if now >= self.end:
            return Phase.ENDED
        return Phase.DUE if now >= self.due(percent) else Phase.GOOD


def read(folder: Path) -> Validity:
    """Of the certificates in a folder."""
    found = ((name, folder / f"{name}.pem") for name in NAMES)
    return Validity(tuple((name, x509.load_pem_x509_certificate(path.read_bytes())) for name, path in found))

"""Is this device ours, and may it be given an identity? One pure decision; who acts on it is ``manager.bootstrap``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a device is on its way (``status`` in the registry)."""

    EXPECTED = "expected"
    BOOTSTRAPPING = "bootstrapping"
    MANAGED = "managed"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


class Refusal(StrEnum):
    """Why a device gets nothing. The values are the alarm types of ``elasticlab-devices``."""

    UNKNOWN = "unknown-device"
    FOREIGN = "foreign-certificate"
    WRONG_KEY = "wrong-device-key"
    REVOKED = "revoked-device"
    QUARANTINED = "quarantined-device"
    COPIED = "copied-device-key"
    EXPIRED = "certificate-expired"


@dataclass(frozen=True)
class Registered:
    """What the registry says of a serial number."""

    revoked: bool
    #: The key that the operator told; otherwise the first that comes is pinned.
    key: str | None = None


@dataclass(frozen=True)
class Known:
    """What has happened to the device so far."""

    status: Status
    pinned_key: str | None = None
    #: The key that the device's first certificate was issued for.
    csr_key: str | None = None


@dataclass(frozen=True)
class Asked:
    """Who asks: the key of its IDevID, and (once it sends its request) the key it wants a certificate for."""

    key: str
    csr_key: str | None = None
    #: Has the device a certificate that holds?
    holds: bool = True


@dataclass(frozen=True)
class Verdict:
    """None as refusal is: permitted. ``quarantine`` takes from the serial number what it had."""

    refusal: Refusal | None = None
    quarantine: bool = False


PERMITTED = Verdict()


def decide(registered: Registered | None, known: Known | None, asked: Asked) -> Verdict:  # noqa: PLR0911 - a table
    """May a device with an IDevID of an accepted maker bootstrap now?

    A key is held by one device. It asks for a certificate for one key, again and again until the answer has arrived,
    and never afterwards. Whoever else shows the same IDevID key has a copy, and nobody can tell which is the original:
    both lose what they have.
    """
    if registered is None:
        return Verdict(Refusal.UNKNOWN)
    if registered.revoked or (known is not None and known.status is Status.REVOKED):
        return Verdict(Refusal.REVOKED)
    pinned = registered.key or (known.pinned_key if known is not None else None)
    if pinned is not None and pinned != asked.key:
        return Verdict(Refusal.WRONG_KEY)
    if known is None or known.status is Status.EXPECTED:
        return PERMITTED
    if known.status is Status.QUARANTINED:
        return Verdict(Refusal.QUARANTINED)
    if known.status is Status.MANAGED and not asked.holds:
        return Verdict(Refusal.EXPIRED)  # it has a reason to come, and nothing that a copy could take from it
    if known.status is Status.MANAGED:
        return Verdict(Refusal.COPIED, quarantine=True)
    if asked.csr_key is not None and known.csr_key not in (None, asked.csr_key):
        return Verdict(Refusal.COPIED, quarantine=True)
    return PERMITTED

"""What the manager gives alarm for (RFC 8632): devices, and strangers who say that they are some."""

from __future__ import annotations

from stackkit import alarms
from stackkit.database import Database

MODULE = "elasticlab-devices"
_SEVERITIES = {
    "unknown-device": "warning",
    "foreign-certificate": "warning",
    "wrong-device-key": "major",
    "quarantined-device": "minor",
    "revoked-device": "major",
    "copied-device-key": "critical",
    "certificate-expiring": "major",
    "certificate-expired": "critical",
    "wrong-clock": "major",
}
#: What is over once a device may come: that it was not registered, revoked, or not yet released.
OVER = ("unknown-device", "revoked-device", "quarantined-device", "certificate-expired")
_STRANGERS = ("unknown-device", "foreign-certificate")


class Alarms(alarms.Alarms):
    """The manager's alarm list."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, MODULE, _SEVERITIES, _STRANGERS)


def device(serial: str) -> str:
    """The resource of an alarm: the registry's entry (RFC 8632, section 3.2.1)."""
    return f"/elasticlab-devices:devices/device[serial='{serial}']"

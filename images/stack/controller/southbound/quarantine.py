"""Devices that nobody is believed to be, until somebody releases them: two have claimed to be the same."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from stackkit.database import Database

MIGRATION = """
CREATE TABLE quarantine (device VARCHAR(255) PRIMARY KEY, reason TEXT NOT NULL, since VARCHAR(40) NOT NULL);
"""


class Quarantine:
    """A durable set of names. Writes wait for the disk; reading does not touch it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.read() as db:
            self._held = {
                row.device: row.reason for row in db.execute(sa.text("SELECT device, reason FROM quarantine"))
            }

    def reason(self, device: str) -> str | None:
        """Why a device is in quarantine; None when it is not."""
        return self._held.get(device)

    def put(self, device: str, reason: str) -> None:
        """From now on nobody is believed to be this device."""
        row = {"device": device, "reason": reason, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        self._held[device] = reason
        with self._database.begin() as db:
            db.execute(sa.text("INSERT INTO quarantine VALUES (:device, :reason, :since) ON CONFLICT DO NOTHING"), row)

    def release(self, device: str) -> bool:
        """Believe again; False when there was nothing to release."""
        with self._database.begin() as db:
            db.execute(sa.text("DELETE FROM quarantine WHERE device = :device"), {"device": device})
        return self._held.pop(device, None) is not None

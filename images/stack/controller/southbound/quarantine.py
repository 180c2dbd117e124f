"""Devices whose key two have used at the same time: durable, so that a restart neither believes nor forgets them.

The manager decides what becomes of a device: it revokes the certificates, releases, takes in anew. What is kept here is
which certificates were used twice, and whether the manager has been told (``southbound.report``).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import sqlalchemy as sa
from stackkit.database import Database

from controller.southbound.identity import Identity

MIGRATION = """
CREATE TABLE quarantine (
    device VARCHAR(255) PRIMARY KEY, serial VARCHAR(64) NOT NULL, certificates TEXT NOT NULL, reason TEXT NOT NULL,
    since VARCHAR(40) NOT NULL, told BOOLEAN NOT NULL);
"""


@dataclass(frozen=True)
class Clone:
    """A device that there are two of. ``told``: the manager knows, and its revocation list after that is in force."""

    device: str
    serial: str
    #: Serial numbers of the certificates that were used at the same time.
    certificates: frozenset[int]
    reason: str
    told: bool = False


class Quarantine:
    """A durable table. Writes wait for the disk: call them from a thread; reading does not touch it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.read() as db:
            rows = db.execute(sa.text("SELECT * FROM quarantine")).all()
        clones = [
            Clone(
                row.device,
                row.serial,
                frozenset(int(number, 16) for number in json.loads(row.certificates)),
                row.reason,
                bool(row.told),
            )
            for row in rows
        ]
        self._held = {one.device: one for one in clones}

    @property
    def clones(self) -> Collection[Clone]:
        """All that are in quarantine; the caller's own list."""
        return list(self._held.values())

    def refusal(self, identity: Identity) -> str | None:
        """Why this caller is not believed; None when it may be.

        Until the manager has been told, whoever has the copied key may have renewed it: no certificate counts. From
        then on what was renewed is revoked, and another certificate comes from a new bootstrap.
        """
        clone = self._held.get(identity.name)
        if clone is None or (clone.told and identity.certificate not in clone.certificates):
            return None
        return clone.reason

    def has(self, device: str) -> bool:
        """Is this device in it?"""
        return device in self._held

    def put(self, clone: Clone) -> None:
        """From now on nobody is believed to be this device."""
        # Refused first: while the disk is awaited, nobody comes in.
        self._held[clone.device] = clone
        row = {
            "device": clone.device,
            "serial": clone.serial,
            "certificates": json.dumps([f"{number:x}" for number in sorted(clone.certificates)]),
            "reason": clone.reason,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "told": clone.told,
        }
        with self._database.begin() as db:
            db.execute(sa.text("DELETE FROM quarantine WHERE device = :device"), row)
            db.execute(
                sa.text("INSERT INTO quarantine VALUES (:device, :serial, :certificates, :reason, :since, :told)"), row
            )

    def told(self, clone: Clone) -> None:
        """The manager knows of it, and what it has revoked is in force here."""
        with self._database.begin() as db:
            db.execute(
                sa.text("UPDATE quarantine SET told = :told WHERE device = :device"),
                {"told": True, "device": clone.device},
            )
        self._held[clone.device] = replace(clone, told=True)

    def remove(self, device: str) -> None:
        """It is over, if it was in quarantine."""
        if device not in self._held:
            return
        with self._database.begin() as db:
            db.execute(sa.text("DELETE FROM quarantine WHERE device = :device"), {"device": device})
        del self._held[device]

"""What must be known after a crash: transactions under way, their decision, and the devices that are fenced.

Presumed abort: a transaction that is in the journal without a decision is to be cancelled. A device's row goes when it
has heard the last word, the transaction's when its last device has. Everything here waits for the disk
(``stackkit.database``: synchronous FULL): call it from a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from stackkit.database import Database

MIGRATION = """
CREATE TABLE transaction_begun (
    persist_id VARCHAR(64) PRIMARY KEY, decided BOOLEAN NOT NULL, begun VARCHAR(40) NOT NULL);
CREATE TABLE transaction_member (
    persist_id VARCHAR(64) NOT NULL REFERENCES transaction_begun (persist_id), device VARCHAR(255) NOT NULL,
    PRIMARY KEY (persist_id, device));
CREATE TABLE fence (
    device VARCHAR(255) PRIMARY KEY, reason TEXT NOT NULL, since VARCHAR(40) NOT NULL);
"""


@dataclass(frozen=True)
class Owed:
    """A last word that a device has not heard."""

    persist_id: str
    decided: bool


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Journal:
    """The durable side of network-wide commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Asked of every device in every pass: the disk is asked only of those that it may say something of.
        self._fenced = set(self.fenced())
        self._debtors = set(self.debtors())

    def begin(self, persist_id: str, devices: Iterable[str]) -> None:
        """From now on these devices may hold a commit with this persist-id."""
        rows = [{"id": persist_id, "device": device} for device in sorted(devices)]
        self._debtors.update(row["device"] for row in rows)
        with self._database.begin() as db:
            row = {"id": persist_id, "begun": _now()}
            db.execute(sa.text("INSERT INTO transaction_begun VALUES (:id, FALSE, :begun)"), row)
            if rows:
                db.execute(sa.text("INSERT INTO transaction_member VALUES (:id, :device)"), rows)

    def decide(self, persist_id: str) -> None:
        """The decision to commit. When this returns it holds, whatever happens."""
        with self._database.begin() as db:
            statement = sa.text("UPDATE transaction_begun SET decided = TRUE WHERE persist_id = :id")
            if db.execute(statement, {"id": persist_id}).rowcount != 1:
                raise LookupError(f"the journal knows no transaction {persist_id}")

    def settle(self, persist_id: str, devices: Iterable[str], fences: Mapping[str, str] | None = None) -> None:
        """These devices have heard the last word; ``fences`` are raised in the same breath."""
        self._fenced.update(fences or {})
        rows = [{"id": persist_id, "device": device} for device in devices]
        with self._database.begin() as db:
            if rows:
                db.execute(sa.text("DELETE FROM transaction_member WHERE persist_id = :id AND device = :device"), rows)
            db.execute(
                sa.text(
                    "DELETE FROM transaction_begun WHERE persist_id = :id"
                    " AND NOT EXISTS (SELECT 1 FROM transaction_member WHERE persist_id = :id)"
                ),
                {"id": persist_id},
            )
            _fence(db, fences or {})
            owing = set(db.scalars(sa.text("SELECT DISTINCT device FROM transaction_member")))
        self._debtors -= {row["device"] for row in rows} - owing

    def owes(self, device: str) -> bool:
        """May it have a last word to hear? Asking does not touch the disk."""
        return device in self._debtors

    def owed(self, device: str) -> list[Owed]:
        """The last words that a device has still to hear, oldest first."""
        if not self.owes(device):
            return []
        with self._database.read() as db:
            rows = db.execute(
                sa.text(
                    "SELECT b.persist_id, b.decided FROM transaction_begun b JOIN transaction_member m"
                    " ON m.persist_id = b.persist_id WHERE m.device = :device ORDER BY b.begun, b.persist_id"
                ),
                {"device": device},
            )
            return [Owed(row.persist_id, bool(row.decided)) for row in rows]

    def forget(self, device: str) -> None:
        """The device will never be asked again."""
        for owed in self.owed(device):
            self.settle(owed.persist_id, [device])
        self.unfence(device)

    def debtors(self) -> frozenset[str]:
        """Devices that have a last word to hear."""
        with self._database.read() as db:
            return frozenset(db.scalars(sa.text("SELECT DISTINCT device FROM transaction_member")))

    def fence(self, reasons: Mapping[str, str]) -> None:
        """These devices must be brought up to date before they take part again."""
        self._fenced.update(reasons)
        with self._database.begin() as db:
            _fence(db, reasons)

    def unfence(self, *devices: str) -> None:
        """These devices are as intended."""
        rows = [{"device": device} for device in devices if device in self._fenced]
        if rows:
            with self._database.begin() as db:
                db.execute(sa.text("DELETE FROM fence WHERE device = :device"), rows)
            self._fenced.difference_update(devices)

    def is_fenced(self, device: str) -> bool:
        """Is this one? Asking does not touch the disk."""
        return device in self._fenced

    def fenced(self) -> dict[str, str]:
        """Fenced devices and why."""
        with self._database.read() as db:
            return {row.device: row.reason for row in db.execute(sa.text("SELECT device, reason FROM fence"))}


def _fence(db: sa.Connection, reasons: Mapping[str, str]) -> None:
    for device, reason in sorted(reasons.items()):
        row = {"device": device, "reason": reason, "since": _now()}
        db.execute(
            sa.text(
                "INSERT INTO fence VALUES (:device, :reason, :since)"
                " ON CONFLICT (device) DO UPDATE SET reason = excluded.reason"
            ),
            row,
        )

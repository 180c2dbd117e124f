"""Devices that have ever come, and the entries that we have written into each: durable, so that a device that is away
stays in the network and what was ordered off it is still taken off when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa
from stackkit.database import Database

from controller.service.facts import DeviceFacts

#: For the list of migrations of the controller's database: append-only, as all of them.
MIGRATION = """
CREATE TABLE device (
    name VARCHAR(255) PRIMARY KEY, serial TEXT NOT NULL, model TEXT NOT NULL, personality TEXT NOT NULL,
    wan_address TEXT, wan_gateway TEXT);
CREATE TABLE owned_entry (
    device VARCHAR(255) NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (device, entry));
"""
#: Appended later: uplinks with IPv6.
MIGRATION_IPV6 = """
ALTER TABLE device ADD COLUMN wan6_address TEXT;
ALTER TABLE device ADD COLUMN wan6_gateway TEXT;
"""
#: Where a device's calls come from, which says whether it can be called.
MIGRATION_CALLS = "ALTER TABLE device ADD COLUMN called_from TEXT;"


class Inventory:
    """What is known of devices. Writes wait for the disk: call them from a thread; reading touches none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.read() as db:
            rows = db.execute(sa.text("SELECT * FROM device")).mappings()
            self._facts = {row["name"]: DeviceFacts(**row) for row in rows}
            owned: dict[str, set[str]] = {}
            for row in db.execute(sa.text("SELECT device, entry FROM owned_entry")):
                owned.setdefault(row.device, set()).add(row.entry)
        self._owned = {device: frozenset(entries) for device, entries in owned.items()}

    @property
    def facts(self) -> dict[str, DeviceFacts]:
        """All known devices, connected or not; the caller's own dictionary."""
        return dict(self._facts)

    def of(self, name: str) -> DeviceFacts | None:
        """What a device told; None when it has never come."""
        return self._facts.get(name)

    def learn(self, facts: DeviceFacts) -> bool:
        """Remember what a device told; False when that was known already."""
        if self._facts.get(facts.name) == facts:
            return False
        row = asdict(facts)
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        with self._database.begin() as db:
            db.execute(sa.text("DELETE FROM device WHERE name = :name"), {"name": facts.name})
            db.execute(sa.text(f"INSERT INTO device ({columns}) VALUES ({values})"), row)  # noqa: S608 - own names
        self._facts[facts.name] = facts
        return True

    def forget(self, name: str) -> None:
        """The operator has taken a device out of the registry; what it still has is none of ours."""
        with self._database.begin() as db:
            db.execute(sa.text("DELETE FROM device WHERE name = :name"), {"name": name})
            db.execute(sa.text("DELETE FROM owned_entry WHERE device = :name"), {"name": name})
        self._facts.pop(name, None)
        self._owned.pop(name, None)

    def owned(self, device: str) -> frozenset[str]:
        """The entries that we have written, or may have."""
        return self._owned.get(device, frozenset())

    def own(self, entries: Mapping[str, frozenset[str]]) -> None:
        """These are all entries that we may have written, by device. Tell it before writing; less only after it is
        confirmed. All at once wait for the disk once."""
        changed = {device: wanted for device, wanted in entries.items() if wanted != self.owned(device)}
        if not changed:
            return
        with self._database.begin() as db:
            for statement, rows in (
                ("DELETE FROM owned_entry WHERE device = :device AND entry = :entry", self._less(changed)),
                ("INSERT INTO owned_entry VALUES (:device, :entry)", self._more(changed)),
            ):
                if rows:
                    db.execute(sa.text(statement), rows)
        self._owned |= changed

    def _less(self, changed: Mapping[str, frozenset[str]]) -> list[dict[str, str]]:
        return _rows({device: self.owned(device) - wanted for device, wanted in changed.items()})

    def _more(self, changed: Mapping[str, frozenset[str]]) -> list[dict[str, str]]:
        return _rows({device: wanted - self.owned(device) for device, wanted in changed.items()})


def _rows(entries: Mapping[str, frozenset[str]]) -> list[dict[str, str]]:
    return [{"device": device, "entry": name} for device, names in entries.items() for name in sorted(names)]

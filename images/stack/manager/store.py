"""What the manager must never forget: keys pinned, certificates issued, progress, the CRL, alarms (SQLite)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from manager.authority import Authority, Purpose, Revoked
from manager.legality import Known, Status

PROGRESS_KEPT = 32

MIGRATIONS = (
    """
    CREATE TABLE device (
        serial TEXT PRIMARY KEY, status TEXT NOT NULL, pinned_key TEXT, csr_key TEXT,
        bootstrapped_at TEXT, last_seen TEXT
    );
    CREATE TABLE certificate (
        serial_number TEXT PRIMARY KEY, serial TEXT NOT NULL, purpose TEXT NOT NULL, csr_key TEXT NOT NULL,
        der BLOB NOT NULL, not_after TEXT NOT NULL, issued TEXT NOT NULL, revoked TEXT
    );
    CREATE INDEX certificate_of ON certificate (serial, purpose, csr_key);
    CREATE TABLE progress (
        id INTEGER PRIMARY KEY, serial TEXT NOT NULL, time TEXT NOT NULL, type TEXT NOT NULL, message TEXT
    );
    CREATE INDEX progress_of ON progress (serial, id);
    CREATE TABLE crl (number INTEGER PRIMARY KEY, der BLOB NOT NULL, next_update TEXT NOT NULL);
    CREATE TABLE alarm (
        resource TEXT NOT NULL, type TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL,
        created TEXT NOT NULL, raised TEXT NOT NULL, changed TEXT NOT NULL, cleared INTEGER NOT NULL,
        PRIMARY KEY (resource, type)
    );
    """,
)

Row = sa.Row[Any]


def stamp(moment: datetime | None = None) -> str:
    """date-and-time of RFC 6991."""
    return (moment or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Issued:
    """A certificate that was given to a device."""

    serial: str
    purpose: Purpose
    der: bytes
    revoked: bool

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate."""
        return x509.load_der_x509_certificate(self.der)


class Devices:
    """The tables as seen from inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _run(self, statement: str, **values: object) -> sa.CursorResult[Any]:
        return self._connection.execute(sa.text(statement), values)

    # -- devices -----------------------------------------------------------------------------------------------------

    def known(self, serial: str) -> Known | None:
        """What has happened to a device."""
        row = self._run("SELECT status, pinned_key, csr_key FROM device WHERE serial = :serial", serial=serial).first()
        return None if row is None else Known(Status(row.status), row.pinned_key, row.csr_key)

    def rows(self) -> list[Row]:
        """All devices that something has happened to."""
        return list(self._run("SELECT * FROM device").all())

    def save(self, serial: str, known: Known) -> None:
        """Remember what has happened to a device."""
        self._run(
            "INSERT INTO device (serial, status, pinned_key, csr_key) VALUES (:serial, :status, :pinned, :csr)"
            " ON CONFLICT (serial) DO UPDATE SET status = :status, pinned_key = :pinned, csr_key = :csr",
            serial=serial,
            status=known.status.value,
            pinned=known.pinned_key,
            csr=known.csr_key,
        )

    def seen(self, serial: str, *, managed: bool = False) -> None:
        """The device was here."""
        what = "last_seen = :now, bootstrapped_at = :now" if managed else "last_seen = :now"
        self._run(f"UPDATE device SET {what} WHERE serial = :serial", now=stamp(), serial=serial)  # noqa: S608 - constants

    def forget(self, serial: str) -> None:
        """The device is not in the registry any more. Its certificates stay on record: the CRL needs them."""
        for table in ("device", "progress"):
            self._run(f"DELETE FROM {table} WHERE serial = :serial", serial=serial)  # noqa: S608 - constants

    def report(self, serial: str, kind: str, message: str | None) -> None:
        """Progress that a device reports; the oldest goes."""
        self._run(
            "INSERT INTO progress (serial, time, type, message) VALUES (:serial, :now, :type, :message)",
            serial=serial,
            now=stamp(),
            type=kind,
            message=message,
        )
        self._run(
            "DELETE FROM progress WHERE serial = :serial AND id NOT IN"
            " (SELECT id FROM progress WHERE serial = :serial ORDER BY id DESC LIMIT :kept)",
            serial=serial,
            kept=PROGRESS_KEPT,
        )

    def progress(self) -> list[Row]:
        """All progress, in its order."""
        return list(self._run("SELECT serial, time, type, message FROM progress ORDER BY id").all())

    # -- certificates ------------------------------------------------------------------------------------------------

    def certificates(self) -> list[Row]:
        """All certificates, without the revoked ones that are over."""
        return list(self._run("SELECT serial_number, serial, purpose, not_after, revoked FROM certificate").all())

    def issued(self, serial_number: int) -> Issued | None:
        """A certificate by its serial number."""
        row = self._run("SELECT * FROM certificate WHERE serial_number = :number", number=f"{serial_number:x}").first()
        return None if row is None else Issued(row.serial, row.purpose, row.der, row.revoked is not None)

    def issued_for(self, serial: str, purpose: Purpose, csr_key: str) -> x509.Certificate | None:
        """The newest certificate of a device for a key that still holds."""
        row = self._run(
            "SELECT der FROM certificate WHERE serial = :serial AND purpose = :purpose AND csr_key = :key"
            " AND revoked IS NULL ORDER BY issued DESC, rowid DESC",
            serial=serial,
            purpose=purpose,
            key=csr_key,
        ).first()
        return None if row is None else x509.load_der_x509_certificate(row.der)

    def newest(self, serial: str) -> list[x509.Certificate]:
        """The certificate that a device was given last for each use: it uses no other, however long they live."""
        rows = self._run(
            "SELECT der, max(rowid) FROM certificate WHERE serial = :serial AND revoked IS NULL GROUP BY purpose",
            serial=serial,
        )
        return [x509.load_der_x509_certificate(row.der) for row in rows]

    def holds(self, serial: str) -> bool:
        """Does the certificate that a device was given last for NETCONF hold now? It uses no other."""
        last = (
            "SELECT not_after > :now FROM certificate WHERE serial = :serial AND purpose = 'netconf'"
            " AND revoked IS NULL ORDER BY issued DESC, rowid DESC LIMIT 1"
        )
        return bool(self._run(last, serial=serial, now=stamp()).scalar())

    def live(self, serial: str) -> int:
        """How many certificates of a device hold now."""
        count = "SELECT count(*) FROM certificate WHERE serial = :serial AND revoked IS NULL AND not_after > :now"
        return int(self._run(count, serial=serial, now=stamp()).scalar_one())

    def remember(self, serial: str, purpose: Purpose, csr_key: str, certificate: x509.Certificate) -> None:
        """A certificate that was issued."""
        self._run(
            "INSERT INTO certificate (serial_number, serial, purpose, csr_key, der, not_after, issued)"
            " VALUES (:number, :serial, :purpose, :key, :der, :end, :now)",
            number=f"{certificate.serial_number:x}",
            serial=serial,
            purpose=purpose,
            key=csr_key,
            der=certificate.public_bytes(Encoding.DER),
            end=stamp(certificate.not_valid_after_utc),
            now=stamp(),
        )

    def supersede(self, serial: str, purpose: Purpose, kept: int, authority: Authority) -> None:
        """Revoke a device's certificates for a use but the newest; what has ended needs no revocation."""
        rows = self._run(
            "SELECT serial_number FROM certificate WHERE serial = :serial AND purpose = :purpose AND revoked IS NULL"
            " AND not_after > :now ORDER BY issued DESC, rowid DESC LIMIT -1 OFFSET :kept",
            serial=serial,
            purpose=purpose,
            now=stamp(),
            kept=kept,
        ).all()
        for row in rows:
            self._run(
                "UPDATE certificate SET revoked = :now WHERE serial_number = :number",
                now=stamp(),
                number=row.serial_number,
            )
        if rows:
            self.renew_crl(authority)

    def revoke(self, serial: str, authority: Authority) -> int:
        """Revoke all certificates of a device; the CRL in the same transaction says so. How many they were."""
        changed = self._run(
            "UPDATE certificate SET revoked = :now WHERE serial = :serial AND revoked IS NULL",
            now=stamp(),
            serial=serial,
        ).rowcount
        if changed:
            self.renew_crl(authority)
        return changed

    # -- the CRL -----------------------------------------------------------------------------------------------------

    def crl(self) -> bytes | None:
        """The CRL in force, in DER."""
        row = self._run("SELECT der FROM crl ORDER BY number DESC LIMIT 1").first()
        return None if row is None else bytes(row.der)

    def renew_crl(self, authority: Authority) -> None:
        """A new CRL; its number grows by one (RFC 5280, section 5.2.3). What has expired is left out of it."""
        number = int(self._run("SELECT coalesce(max(number), 0) + 1 FROM crl").scalar_one())
        rows = self._run(
            "SELECT serial_number, revoked FROM certificate WHERE revoked IS NOT NULL AND not_after > :now",
            now=stamp(),
        )
        revoked = [
            Revoked(int(row.serial_number, 16), datetime.fromisoformat(row.revoked).replace(microsecond=0))
            for row in rows
        ]
        crl = authority.crl(number, revoked)
        assert crl.next_update_utc is not None
        self._run("DELETE FROM crl")
        self._run(
            "INSERT INTO crl (number, der, next_update) VALUES (:number, :der, :next)",
            number=number,
            der=crl.public_bytes(Encoding.DER),
            next=stamp(crl.next_update_utc),
        )

"""Devices are taken in, renewed, released and locked out: the decision of ``legality`` becomes fact, durable first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from stackkit.database import Database

from manager import alarms
from manager.alarms import Alarms
from manager.authority import CRL_LIFE, Authority, Purpose, key_hash, now
from manager.legality import Asked, Known, Refusal, Registered, Status, decide
from manager.store import Devices, Issued

log = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)
#: Certificates of one device that hold at the same time: two keys, and what renewal and lost keys need.
LIVE_LIMIT = 16
#: Of these for one use. Whoever renews once more loses the oldest: it was superseded long ago (RFC 5280, 5.3.1).
USE_LIMIT = 7


class Denied(Exception):
    """Refused, alarmed, audited; the peer is told nothing of the reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class TooMany(Exception):
    """A device has as many certificates as it may have."""


@dataclass(frozen=True)
class Entry:
    """A device in the registry."""

    serial: str
    name: str
    revoked: bool
    key: str | None

    @property
    def registered(self) -> Registered:
        """What the decision needs."""
        return Registered(self.revoked, self.key)


@dataclass(frozen=True)
class Visitor:
    """A peer that has proved by TLS that it holds the key of an IDevID."""

    serial: str
    key: str
    address: str


class Enrolment:
    """All that changes what devices have."""

    def __init__(
        self,
        database: Database,
        authority: Authority,
        alarm_list: Alarms,
        domain: str,
        registry: Callable[[], dict[str, Entry]],
    ) -> None:
        self._database = database
        self._authority = authority
        self._alarms = alarm_list
        self._domain = domain
        self._registry = registry
        with database.begin() as connection:
            devices = Devices(connection)
            if devices.crl() is None:
                devices.renew_crl(authority)

    # -- bootstrap ---------------------------------------------------------------------------------------------------

    def bootstrap(
        self, visitor: Visitor, request: x509.CertificateSigningRequest | None
    ) -> tuple[Entry, x509.Certificate] | None:
        """The device's first certificate, or None when its request is still to come; ``Denied``.

        What is answered is on the disk before: a device that asks again after a cut gets the same certificate.
        """
        csr_key = None if request is None else key_hash(request.public_key())
        with self._database.begin() as connection:
            devices = Devices(connection)
            # Read inside of the transaction: whoever revokes changes the registry before he takes the write lock.
            entry = self._registry().get(visitor.serial)
            known = devices.known(visitor.serial)
            asked = Asked(visitor.key, csr_key, holds=devices.holds(visitor.serial))
            verdict = decide(entry.registered if entry else None, known, asked)
            if verdict.refusal is not None or entry is None:
                refusal = verdict.refusal or Refusal.UNKNOWN
                self._refuse(connection, visitor, refusal, verdict.quarantine)
            else:
                known = known or Known(Status.EXPECTED)
                pinned = Known(Status.BOOTSTRAPPING, visitor.key, csr_key or known.csr_key)
                devices.save(visitor.serial, pinned)
                devices.seen(visitor.serial)
                self._alarms.clear(alarms.device(visitor.serial), alarms.OVER, connection)
                if request is None or csr_key is None:
                    return None
                return entry, self._issue(devices, entry, "netconf", csr_key, request)
        # Only now: an exception inside of the transaction would undo the quarantine.
        raise Denied(refusal)

    def report(self, visitor: Visitor, kind: str, message: str | None) -> None:
        """A device's progress; ``bootstrap-complete`` of one that has a certificate makes it managed."""
        with self._database.begin() as connection:
            devices = Devices(connection)
            entry = self._registry().get(visitor.serial)
            known = devices.known(visitor.serial)
            refusal = _may_report(entry, known, visitor.key)
            if refusal is not None:
                self._refuse(connection, visitor, refusal, quarantine=False)
            else:
                assert known is not None
                devices.report(visitor.serial, kind, message)
                first = kind == "bootstrap-complete" and known.status is Status.BOOTSTRAPPING and known.csr_key
                if first:
                    devices.save(visitor.serial, replace(known, status=Status.MANAGED))
                devices.seen(visitor.serial, managed=bool(first))
        if refusal is not None:
            raise Denied(refusal)
        log.info("progress %s", kind, extra={"serial": visitor.serial, "progress": kind, "text": message})

    def _refuse(self, connection: sa.Connection, visitor: Visitor, refusal: Refusal, quarantine: bool) -> None:
        text = f"{visitor.address} came as {visitor.serial} with the key {visitor.key[:16]}…: {refusal.value}"
        self._alarms.raise_(refusal.value, alarms.device(visitor.serial), text, connection)
        if quarantine:
            self._lock_out(Devices(connection), visitor.serial)

    def _lock_out(self, devices: Devices, serial: str) -> None:
        known = devices.known(serial) or Known(Status.EXPECTED)
        devices.save(serial, replace(known, status=Status.QUARANTINED))
        count = devices.revoke(serial, self._authority)
        log.warning("quarantined", extra={"serial": serial, "certificates_revoked": count})

    def _issue(
        self, devices: Devices, entry: Entry, purpose: Purpose, key: str, request: x509.CertificateSigningRequest
    ) -> x509.Certificate:
        """The certificate for a key: the one that it has, unless half of its life is over."""
        public_key = request.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        there = devices.issued_for(entry.serial, purpose, key)
        if there is not None:
            life = there.not_valid_after_utc - there.not_valid_before_utc
            if there.not_valid_after_utc - now() > life / 2:
                return there
        devices.supersede(entry.serial, purpose, USE_LIMIT - 1, self._authority)
        if devices.live(entry.serial) >= LIVE_LIMIT:
            raise TooMany(f"{entry.serial} has {LIVE_LIMIT} certificates that hold")
        certificate = self._authority.issue(entry.name, entry.serial, self._domain, purpose, public_key)
        devices.remember(entry.serial, purpose, key, certificate)
        log.info(
            "certificate issued",
            extra={"serial": entry.serial, "purpose": purpose, "certificate": f"{certificate.serial_number:x}"},
        )
        return certificate

    # -- EST ---------------------------------------------------------------------------------------------------------

    def holder(self, serial_number: int, address: str) -> Issued:
        """The device that an operational certificate was given to; ``Denied`` when it does not count any more."""
        with self._database.begin() as connection:
            devices = Devices(connection)
            issued = devices.issued(serial_number)
            if issued is not None and not issued.revoked and self._active(devices, issued.serial):
                devices.seen(issued.serial)
                return issued
            resource = alarms.device(issued.serial) if issued is not None else address
            text = f"{address} came with the operational certificate {serial_number:x}, which is revoked or not known"
            self._alarms.raise_(Refusal.REVOKED.value, resource, text, connection)
        raise Denied(Refusal.REVOKED)

    def clock(self, serial_number: int, off: timedelta) -> None:
        """A device says what time it is by its clock; ``off`` is what has to be added."""
        with self._database.begin() as connection:
            issued = Devices(connection).issued(serial_number)
            if issued is None or issued.revoked:
                return
            resource, kind = alarms.device(issued.serial), "wrong-clock"
            if abs(off) <= CLOCK_TOLERANCE:
                self._alarms.clear(resource, (kind,), connection)
                return
            text = (
                f"The clock of {issued.serial} is {abs(off).days} days {abs(off).seconds // 60} minutes"
                f" {'behind' if off > timedelta() else 'ahead of'} ours, and certificates make no sense by it: set it."
            )
            self._alarms.raise_(kind, resource, text, connection)

    def _active(self, devices: Devices, serial: str) -> bool:
        entry, known = self._registry().get(serial), devices.known(serial)
        states = (Status.BOOTSTRAPPING, Status.MANAGED)
        return entry is not None and not entry.revoked and known is not None and known.status in states

    def enrol(
        self, serial: str, purpose: Purpose, request: x509.CertificateSigningRequest, address: str
    ) -> x509.Certificate:
        """A certificate for a device that is ours; ``Denied`` when it is no more since it was looked up."""
        with self._database.begin() as connection:
            devices = Devices(connection)
            if self._active(devices, serial):
                entry = self._registry()[serial]
                return self._issue(devices, entry, purpose, key_hash(request.public_key()), request)
            text = f"{address} wants a certificate for {serial}, which is not ours any more"
            self._alarms.raise_(Refusal.REVOKED.value, alarms.device(serial), text, connection)
        raise Denied(Refusal.REVOKED)

    # -- the operator ------------------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Make what devices have be as the registry says: revoked and removed ones lose their certificates."""
        with self._database.begin() as connection:
            devices = Devices(connection)
            registry = self._registry()
            for row in devices.rows():
                if row.serial not in registry:
                    devices.revoke(row.serial, self._authority)
                    devices.forget(row.serial)
                    self._alarms.clear(alarms.device(row.serial), connection=connection)
            for entry in registry.values():
                known = devices.known(entry.serial)
                if entry.revoked and (known is None or known.status is not Status.REVOKED):
                    devices.save(entry.serial, replace(known or Known(Status.EXPECTED), status=Status.REVOKED))
                    count = devices.revoke(entry.serial, self._authority)
                    log.warning("revoked", extra={"serial": entry.serial, "certificates_revoked": count})
                elif not entry.revoked and known is not None and known.status is Status.REVOKED:
                    # Legal again: it is taken in like a new one, with the key that it had.
                    devices.save(entry.serial, Known(Status.EXPECTED, known.pinned_key))
                    self._alarms.clear(alarms.device(entry.serial), alarms.OVER, connection)

    def quarantine(self, serial: str, reason: str, certificates: Collection[int] = ()) -> None:
        """A device's key has been seen twice: take from it what it has.

        With ``certificates`` only if one of these is the device's and holds: what is told twice, or late, must not
        hit those that it has got since.
        """
        with self._database.begin() as connection:
            devices = Devices(connection)
            known = devices.known(serial)
            if serial not in self._registry() or (known and known.status in (Status.QUARANTINED, Status.REVOKED)):
                return
            found = [devices.issued(number) for number in certificates]
            if certificates and not any(one and one.serial == serial and not one.revoked for one in found):
                return
            self._alarms.raise_(Refusal.COPIED.value, alarms.device(serial), reason, connection)
            self._lock_out(devices, serial)

    def release(self, serial: str) -> bool:
        """One bootstrap is permitted again: after a quarantine, or to a device whose certificates have all ended.

        False when the device needs none.
        """
        with self._database.begin() as connection:
            devices = Devices(connection)
            known = devices.known(serial)
            ended = known is not None and known.status is Status.MANAGED and not devices.holds(serial)
            if known is None or not (ended or known.status is Status.QUARANTINED):
                return False
            devices.save(serial, Known(Status.EXPECTED, known.pinned_key))
            self._alarms.clear(alarms.device(serial), connection=connection)
        log.warning("released", extra={"serial": serial})
        return True

    # -- the CRL -----------------------------------------------------------------------------------------------------

    def crl(self) -> bytes:
        """The CRL in force (DER)."""
        with self._database.read() as connection:
            der = Devices(connection).crl()
        assert der is not None
        return der

    def refresh_crl(self) -> bool:
        """A new CRL when half of the old one's time is over."""
        with self._database.begin() as connection:
            devices = Devices(connection)
            der = devices.crl()
            end = x509.load_der_x509_crl(der).next_update_utc if der is not None else None
            if end is not None and end - now() > CRL_LIFE / 2:
                return False
            devices.renew_crl(self._authority)
        return True


def _may_report(entry: Entry | None, known: Known | None, key: str) -> Refusal | None:
    """Progress is taken from a device that is being taken in, and (its last report may come twice) just after."""
    if entry is None:
        return Refusal.UNKNOWN
    if entry.revoked or (known is not None and known.status is Status.REVOKED):
        return Refusal.REVOKED
    if known is not None and known.status is Status.QUARANTINED:
        return Refusal.QUARANTINED
    pinned = entry.key or (known.pinned_key if known else None)
    if pinned is not None and pinned != key:
        return Refusal.WRONG_KEY
    if known is None or known.status is Status.EXPECTED:
        # Nobody reports before asking; only a stranger with a copied key would.
        return Refusal.COPIED
    return None

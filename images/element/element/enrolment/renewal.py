"""New keys and certificates in the place of those that there are: RFC 7030, section 4.2.2.

The new set is made beside the old one and takes its place by one exchange of names: a box that is cut has the one or
the other, whole. Keys are on disk before the manager hears of them; a box that is cut asks with the same keys again,
and is given the same certificates.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from element import storage, validity
from element.credentials import CURRENT, ENROLMENT
from element.enrolment import est, keys, onboarding
from element.enrolment.errors import EnrolmentError
from element.enrolment.https import Device, Https

NEXT = "next"
_UNFINISHED = "unfinished"
"""A mark in the folder until all is in it. A folder without it is whole: a new set, or an old one to be removed."""
_RENEWED = ("netconf", "ike")


class Renewal:
    """Blocking; for a thread. The trust anchor is that of bootstrap: the manager is known by it."""

    def __init__(self, state: Path, trust: Path, device: Device) -> None:
        self._current = state / CURRENT
        self._next = state / NEXT
        self._trust = trust
        self._device = device

    @property
    def server(self) -> str:
        """Where the manager is (EST, section 3.2.2)."""
        facts = json.loads((self._current / ENROLMENT).read_text(encoding="utf-8"))
        return str(facts["est-server"])

    def renew(self) -> None:
        """New keys and certificates for NETCONF and IKE are in place when this returns."""
        if not self._ready():
            self._make()
        put(self._next, self._current)

    def _ready(self) -> bool:
        """Was the power cut just before the new set was put into place?"""
        if (self._next / _UNFINISHED).exists():
            return False
        try:
            new, old = validity.read(self._next), validity.read(self._current)
            return new.start > old.start  # it may end before the old one does
        except (OSError, ValueError):  # there is none, or half an old one
            return False

    def _make(self) -> None:
        self._prepare()
        old = x509.load_pem_x509_certificate((self._current / "netconf.pem").read_bytes())
        ca = x509.load_pem_x509_certificate((self._current / "ca.pem").read_bytes())
        https = Https(self._trust, self._current / "netconf.pem", self._current / "netconf.key", self._device)
        for name in _RENEWED:
            key = keys.make(self._next / f"{name}.key")
            csr = keys.request_like(key, old, ike=name == "ike")
            new = est.simple_enroll(https, self.server, csr, "simplereenroll")
            self._check(new, old, ca, key)
            # What comes after the own certificate (the chain) stays.
            chain = x509.load_pem_x509_certificates((self._current / f"{name}.pem").read_bytes())[1:]
            storage.write(self._next / f"{name}.pem", b"".join(c.public_bytes(Encoding.PEM) for c in (new, *chain)))
        for path in self._current.iterdir():
            if not (self._next / path.name).exists():
                storage.write(self._next / path.name, path.read_bytes())
        storage.remove(self._next / _UNFINISHED)

    def _prepare(self) -> None:
        if self._next.exists() and not (self._next / _UNFINISHED).exists():
            shutil.rmtree(self._next)
        storage.folder(self._next)
        if not (self._next / _UNFINISHED).exists():
            storage.write(self._next / _UNFINISHED, b"")

    def _check(
        self, new: x509.Certificate, old: x509.Certificate, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        onboarding.check_certificate(new, ca, key.public_key())
        if new.subject != old.subject:
            raise EnrolmentError(f"the new certificate is for {new.subject.rfc4514_string()}, not for us")
        # It may end before the old one: the operator may want shorter lives.
        if new.not_valid_after_utc <= datetime.now(UTC):
            raise EnrolmentError(f"the new certificate has ended already ({new.not_valid_after_utc})")


def put(new: Path, place: Path) -> None:
    """Put a folder in a place, or in the place of another, which is removed."""
    if not place.exists():
        storage.move(new, place)
        return
    gone = place.with_name(f"{place.name}.gone")
    if gone.exists():
        shutil.rmtree(gone)  # of an attempt that was cut
    storage.exchange(new, place)
    storage.move(new, gone)  # what is half removed has a name that nobody reads
    shutil.rmtree(gone)
    storage.sync(new.parent)

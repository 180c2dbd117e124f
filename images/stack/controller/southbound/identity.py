"""Who calls: the identity in an operational certificate, and whether the operator still stands by it (RFC 5280)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509.oid import NameOID

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class NotBelieved(Exception):
    """A caller is refused; the text says why."""


@dataclass(frozen=True)
class Identity:
    """A device as its operational certificate names it: CN is its name, serialNumber its maker's serial number."""

    name: str
    serial: str
    #: Serial number of the certificate itself.
    certificate: int


def identity_of(der: bytes | None) -> Identity:
    """The identity in a certificate that the operational CA has issued (the TLS handshake has checked that)."""
    if der is None:
        raise NotBelieved("it has shown no certificate")
    certificate = x509.load_der_x509_certificate(der)
    names = _attributes(certificate, NameOID.COMMON_NAME)
    serials = _attributes(certificate, NameOID.SERIAL_NUMBER)
    if len(names) != 1 or len(serials) != 1:
        raise NotBelieved("the subject of its certificate needs one CN and one serialNumber")
    if not _LABEL.fullmatch(names[0]):
        raise NotBelieved(f"the CN {names[0]!r} of its certificate is no device name (a DNS label in lower case)")
    return Identity(names[0], serials[0], certificate.serial_number)


def _attributes(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


class BadList(Exception):
    """A revocation list that is not taken; the text says why."""


class RevocationList:
    """The operational CA's list of revoked certificates."""

    def __init__(self, der: bytes, ca: x509.Certificate) -> None:
        """Read a list in DER; BadList if the CA has not signed it."""
        self.der = der
        try:
            self._list = x509.load_der_x509_crl(der)
        except ValueError as error:
            raise BadList(f"this is no certificate revocation list in DER: {error}") from None
        key = ca.public_key()
        if not isinstance(key, EllipticCurvePublicKey):
            raise BadList("the operational CA has no elliptic curve key")
        if self._list.issuer != ca.subject or not self._list.is_signature_valid(key):
            raise BadList("the operational CA has not signed this revocation list")
        if self._list.next_update_utc is None:
            raise BadList("the revocation list does not say until when it is good (nextUpdate)")
        self.made = self._list.last_update_utc
        self.good_until = self._list.next_update_utc

    @property
    def number(self) -> int:
        """The CRL number (RFC 5280, section 5.2.3); 0 without one."""
        try:
            return self._list.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except x509.ExtensionNotFound:
            return 0

    def revokes(self, identity: Identity) -> bool:
        """Is this identity's certificate on the list?"""
        return self._list.get_revoked_certificate_by_serial_number(identity.certificate) is not None

    def check(self, identity: Identity) -> None:
        """NotBelieved when the certificate is revoked, or the list too old to say that it is not."""
        if self.revokes(identity):
            raise NotBelieved(f"its certificate {identity.certificate:x} is revoked")
        if self.good_until <= datetime.now(UTC):
            raise NotBelieved(
                f"the revocation list ended on {self.good_until:%Y-%m-%d %H:%M}Z: the manager must be reachable"
            )

    def replaces(self, other: RevocationList) -> bool:
        """May this list take the place of the other? Never an older one (RFC 5280, section 5.2.3)."""
        return (self.number, self.made) >= (other.number, other.made)

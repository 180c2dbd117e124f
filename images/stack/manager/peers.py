"""Who came in: what a verified TLS client certificate says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from manager.authority import Authority, key_hash, signed_by
from manager.enrolment import Visitor

_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Operational:
    """A peer with a certificate of our own CA."""

    serial_number: int
    certificate: x509.Certificate
    address: str


@dataclass(frozen=True)
class Stranger:
    """A peer whose certificate is good for nothing here."""

    address: str
    reason: str


Peer = Visitor | Operational | Stranger


def identify(der: bytes | None, address: str, makers: Sequence[x509.Certificate], authority: Authority) -> Peer | None:
    """The peer; None when it showed no certificate. TLS has checked validity and chain; this tells the CAs apart."""
    if der is None:
        return None
    certificate = x509.load_der_x509_certificate(der)
    if authority.issued(certificate):
        return Operational(certificate.serial_number, certificate, address)
    if not any(signed_by(certificate, maker) for maker in makers):
        return Stranger(address, "its certificate is of no accepted maker")
    # IEEE 802.1AR-2018, section 8.6: the subject's serialNumber is the device's.
    serials = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    if len(serials) != 1 or not _SERIAL.fullmatch(str(serials[0].value)):
        return Stranger(address, "its IDevID has no usable serialNumber")
    try:
        key = key_hash(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return Stranger(address, "its IDevID has a key that is not known here")
    return Visitor(str(serials[0].value), key, address)

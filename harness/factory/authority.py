"""A certification authority on disk: X.509 v3 by RFC 5280, keys on NIST P-256.

Every certificate is valid from one hour before it is made: clocks of lab host and nodes may differ by that much, and
a fault that turns a node's clock back further is meant to be noticed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from .store import FactoryError, install_directory

SKEW = timedelta(hours=1)
NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""99991231235959Z, "no well-defined expiration date": RFC 5280 section 4.1.2.5, IEEE 802.1AR-2018 section 8.7."""

SERVICE_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate names. No `uses` means that the key may serve any purpose (RFC 5280 section 4.2.1.12)."""

    common_name: str
    serial_number: str | None = None
    dns_names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    uses: tuple[ObjectIdentifier, ...] = ()
    not_after: datetime | None = None

    @property
    def name(self) -> x509.Name:
        parts = [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "elasticlab"),
            x509.NameAttribute(NameOID.COMMON_NAME, self.common_name),
        ]
        if self.serial_number:
            parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, self.serial_number))
        return x509.Name(parts)

    @property
    def alternative_names(self) -> list[x509.GeneralName]:
        return [*map(x509.DNSName, self.dns_names), *map(x509.IPAddress, self.addresses)]


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _usage(*, authority: bool) -> x509.KeyUsage:
    """RFC 5280 section 4.2.1.3: a CA signs certificates and CRLs, all others only sign for themselves."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """A CA in a directory: `ca.key` (0600) and `ca.pem`."""

    def __init__(self, directory: Path) -> None:
        self.certificate_path = directory / "ca.pem"
        key_path = directory / "ca.key"
        if key_path.stat().st_mode & 0o077:
            raise FactoryError(f"{key_path} can be read by others: make a new lab directory, this key is not secret")
        self._key = load_key(key_path)
        self.certificate = load_certificate(self.certificate_path)
        if self.certificate.public_key() != self._key.public_key():
            raise FactoryError(f"{directory}: key and certificate do not belong together; remove the lab directory")

    @classmethod
    def open(cls, directory: Path, name: str, life: timedelta | None) -> Authority:
        """The CA in the directory; made first when there is none. No life means that it never expires."""
        if not directory.exists():
            _create(directory, name, life)
        return cls(directory)

    def issue(self, subject: Subject, public_key: ec.EllipticCurvePublicKey) -> bytes:
        """A certificate in PEM, with a random serial number of 159 bits (RFC 5280 section 4.1.2.2)."""
        start = now() - SKEW
        ski = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject.name)
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(subject.not_after or start + CERTIFICATE_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        )
        if subject.uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(subject.uses), critical=False)
        if names := subject.alternative_names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _create(directory: Path, name: str, life: timedelta | None) -> None:
    key = new_key()
    start = now() - SKEW
    # The suffix keeps the CAs of two labs apart wherever only names are compared.
    subject = Subject(f"{name} {os.urandom(4).hex()}").name
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life if life else NO_EXPIRY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = {
        "ca.key": key_pem(key),
        "ca.pem": certificate.public_bytes(Encoding.PEM),
    }
    install_directory(directory, files, mode=0o700)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise FactoryError(f"{path}: no private key ({error}); remove the lab directory") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FactoryError(f"{path}: not an elliptic curve key; remove the lab directory")
    return key


def load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FactoryError(f"{path}: no certificate ({error}); remove the lab directory") from error

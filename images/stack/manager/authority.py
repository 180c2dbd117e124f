"""The operator's own certification authority: X.509 by RFC 5280, keys on NIST P-256.

It is made at the manager's first start, its key (mode 0600) never leaves the data directory. It signs what the
registry says of a device and nothing that a certificate request asks for: of a request it takes the public key only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from stackkit.files import write_durably

Purpose = Literal["netconf", "ike"]

SKEW = timedelta(hours=1)
"""Certificates and CRLs are valid from one hour before they are made (short-lived ones less): clocks differ."""
CA_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
CRL_LIFE = timedelta(days=7)

IPSEC_IKE = ObjectIdentifier("1.3.6.1.5.5.7.3.17")
"""id-kp-ipsecIKE, RFC 4945 section 5.1.3.12."""
IKE_INTERMEDIATE = ObjectIdentifier("1.3.6.1.5.5.8.2.2")
_TLS = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
_USES: dict[Purpose, list[ObjectIdentifier]] = {"netconf": _TLS, "ike": [*_TLS, IPSEC_IKE, IKE_INTERMEDIATE]}


class AuthorityError(Exception):
    """The authority's files cannot be used; the text names the file and the remedy."""


class RequestError(ValueError):
    """A certificate request that is not answered; the text says why."""


@dataclass(frozen=True)
class Revoked:
    """An entry of the CRL."""

    serial_number: int
    since: datetime


def now() -> datetime:
    """The time in the resolution of certificates."""
    return datetime.now(UTC).replace(microsecond=0)


def key_hash(key: object) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo, in hexadecimal: what is pinned."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]
    return digest.finalize().hex()


def load_request(der: bytes) -> x509.CertificateSigningRequest:
    """A PKCS#10 request (RFC 2986) whose sender has the private key (its signature holds); RequestError otherwise."""
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        possession = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RequestError("not a PKCS#10 certificate request in DER (RFC 2986)") from error
    if not possession:
        raise RequestError("the request's signature does not hold: no proof of possession of the key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise RequestError("the key must be an elliptic curve key on P-256 or P-384 (RFC 5480)")
    return request


class Authority:
    """A CA in a directory: ``ca.key`` and ``ca.pem``. What it issued is the caller's to remember."""

    def __init__(self, directory: Path, life: timedelta = CERTIFICATE_LIFE) -> None:
        self._life = life
        self.certificate_path = directory / "ca.pem"
        key_path = directory / "ca.key"
        if not key_path.exists():
            _create(directory)
        if key_path.stat().st_mode & 0o077:
            raise AuthorityError(f"{key_path} can be read by others: chmod 0600, or make a new authority")
        try:
            key = load_pem_private_key(key_path.read_bytes(), password=None)
            self.certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityError(f"{directory}: no usable authority ({error}); restore ca.key and ca.pem") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self.certificate.public_key():
            raise AuthorityError(f"{directory}: ca.key and ca.pem do not belong together; restore both")
        self._key = key

    @property
    def pem(self) -> str:
        """The CA's certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issued(self, certificate: x509.Certificate) -> bool:
        """Did this CA sign the certificate?"""
        return signed_by(certificate, self.certificate)

    def issue(
        self, name: str, serial: str, domain: str, purpose: Purpose, public_key: ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        """The certificate of a device for a key; its serial number has 159 random bits (RFC 5280, 4.1.2.2)."""
        start = now() - min(SKEW, self._life / 10)
        end = min(now() + self._life, self.certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name, serial))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USES[purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.{domain}")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(self._authority_key(), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())

    def crl(self, number: int, revoked: Iterable[Revoked]) -> x509.CertificateRevocationList:
        """A CRL (RFC 5280, section 5) with this number."""
        moment = now()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(moment - SKEW)
            .next_update(moment + CRL_LIFE)
            .add_extension(self._authority_key(), critical=False)
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(one.since).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256())

    def _authority_key(self) -> x509.AuthorityKeyIdentifier:
        ski = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Is the certificate directly from this issuer, by name and signature?"""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # ValueError, TypeError, InvalidSignature: whatever is wrong, it is not from there
        return False
    return True


def _name(name: str, serial: str | None) -> x509.Name:
    parts = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "elasticlab"),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ]
    if serial is not None:
        parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    return x509.Name(parts)


def _usage(*, authority: bool) -> x509.KeyUsage:
    """RFC 5280, section 4.2.1.3: a CA signs certificates and CRLs, all others sign for themselves only."""
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


def _create(directory: Path) -> None:
    """A new CA. The certificate is there before the key: what is cut in between is made anew."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    start = now() - SKEW
    # The suffix keeps the CAs of two installations apart wherever only names are compared.
    subject = _name(f"operational CA {os.urandom(4).hex()}", None)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_durably(directory / "ca.pem", certificate.public_bytes(Encoding.PEM), 0o644)
    write_durably(directory / "ca.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)

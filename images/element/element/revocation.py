"""The operator's revocation list (RFC 5280, section 5): the one that came with the credentials, or a newer one that was
installed since. What is in force is decided by the lists' numbers, so no way of delivery can turn the other back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from element import storage


class RevocationError(ValueError):
    """A list that is not taken, and why."""


class Revocations:
    """``given`` came with the credentials (its owner may replace it), ``installed`` is ours to write."""

    def __init__(self, ca: Path, given: Path, installed: Path) -> None:
        self._ca = ca
        self._given = given
        self._installed = installed

    @property
    def path(self) -> Path:
        """The file of the list in force, in PEM; it may not be there yet."""
        try:
            installed = x509.load_pem_x509_crl(self._installed.read_bytes())
            given = x509.load_pem_x509_crl(self._given.read_bytes())
            self._check_origin(installed)
            return self._installed if number(installed) > number(given) else self._given
        except (OSError, ValueError):  # none was installed, or it is another operator's
            return self._given

    def current(self) -> x509.CertificateRevocationList:
        """The list in force."""
        return x509.load_pem_x509_crl(self.path.read_bytes())

    def install(self, der: bytes) -> x509.CertificateRevocationList:
        """Take a list and store it durably; the same list once more is taken too."""
        try:
            new = x509.load_der_x509_crl(der)
        except ValueError as error:
            raise RevocationError(f"this is no certificate revocation list in DER: {error}") from None
        self._check_origin(new)
        if new.next_update_utc is None or new.next_update_utc <= datetime.now(UTC):
            raise RevocationError(f"the list ended at {new.next_update_utc}; send a current one")
        old = self.current()
        if number(new) < number(old) or (number(new) == number(old) and new != old):
            raise RevocationError(
                f"list number {number(new)} is not newer than number {number(old)}, which is in force"
            )
        if new != old:
            storage.write(self._installed, new.public_bytes(Encoding.PEM))
        return new

    def revoked(self, certificate: bytes) -> bool:
        """Is this certificate (DER) of the operator's CA, and on the list in force?"""
        return is_revoked(self.current(), x509.load_der_x509_certificate(certificate))

    def _check_origin(self, crl: x509.CertificateRevocationList) -> None:
        ca = x509.load_pem_x509_certificate(self._ca.read_bytes())
        if crl.issuer != ca.subject or not _signed_by(crl, ca):
            raise RevocationError("the list is not signed by the operator's CA")


def _signed_by(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a key that cannot sign
        return False


def number(crl: x509.CertificateRevocationList) -> int:
    """The list's number, which every CA that follows RFC 5280 gives (section 5.2.3)."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        raise RevocationError("the list has no number (RFC 5280, section 5.2.3)") from None


def is_revoked(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Numbers of certificates are unique for one issuer only."""
    listed = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return listed is not None and certificate.issuer == crl.issuer


def serials(crl: x509.CertificateRevocationList) -> frozenset[int]:
    """The numbers on a list."""
    return frozenset(entry.serial_number for entry in crl)


def holders(
    crl: x509.CertificateRevocationList, certificates: Iterable[x509.Certificate], carried_out: Collection[int]
) -> set[str]:
    """DNS names of those with a certificate that this list revokes, and that was not carried out before."""
    revoked = [one for one in certificates if is_revoked(crl, one) and one.serial_number not in carried_out]
    return {name for certificate in revoked for name in _dns_names(certificate)}


def _dns_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return set(names.get_values_for_type(x509.DNSName))

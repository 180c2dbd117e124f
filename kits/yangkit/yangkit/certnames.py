"""Who is it? User names from client certificates: RFC 7589, section 7, with the maps of RFC 7407."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

# The first octet of a tls-fingerprint says which hash it is (RFC 7407, ietf-x509-cert-to-name).
_HASHES: dict[int, type[hashes.HashAlgorithm]] = {
    2: hashes.SHA1,
    3: hashes.SHA224,
    4: hashes.SHA256,
    5: hashes.SHA384,
    6: hashes.SHA512,
}
_MAPS = ("specified", "san-rfc822-name", "san-dns-name", "san-ip-address", "san-any", "common-name")


@dataclass(frozen=True)
class NameRule:
    """One entry of the list cert-to-name.

    ``fingerprint`` ("04:" and the SHA-256 in hexadecimal with colons) is that of the client's certificate or of one of
    its issuers; without it the rule is for every certificate. ``map_type`` says where the name comes from;
    ``name`` is it for the map "specified".
    """

    map_type: str
    name: str | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if self.map_type not in _MAPS:
            raise ValueError(f"map_type {self.map_type!r} is not one of {', '.join(_MAPS)}")
        if (self.map_type == "specified") != (self.name is not None):
            raise ValueError("a name goes with the map 'specified', and with it only")
        if self.fingerprint is not None:
            octets = _octets(self.fingerprint)
            if octets[0] not in _HASHES or len(octets) != _HASHES[octets[0]]().digest_size + 1:
                raise ValueError(f"{self.fingerprint!r} is no tls-fingerprint: hash algorithm and length do not fit")


def _octets(fingerprint: str) -> bytes:
    return bytes.fromhex(fingerprint.replace(":", ""))


def fingerprint(certificate: x509.Certificate) -> str:
    """The tls-fingerprint (SHA-256) of a certificate."""
    return (b"\x04" + certificate.fingerprint(hashes.SHA256())).hex(":")


def user_name(rules: Sequence[NameRule], chain: Sequence[bytes]) -> str | None:
    """The name that the first fitting rule gives to the holder of a DER chain (client first); None: nobody we know."""
    certificates = [x509.load_der_x509_certificate(der) for der in chain]
    if not certificates:
        return None
    for rule in rules:
        if rule.fingerprint is not None and not any(_has(c, _octets(rule.fingerprint)) for c in certificates):
            continue
        name = _mapped(rule, certificates[0])
        if name:
            return name
    return None


def _has(certificate: x509.Certificate, octets: bytes) -> bool:
    return certificate.fingerprint(_HASHES[octets[0]]()) == octets[1:]


def _mapped(rule: NameRule, certificate: x509.Certificate) -> str | None:
    if rule.map_type == "specified":
        return rule.name
    if rule.map_type == "common-name":
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else None
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    for general in alternatives:
        name = _alternative(rule.map_type, general)
        if name:
            return name
    return None


def _alternative(map_type: str, general: x509.GeneralName) -> str | None:
    if isinstance(general, x509.RFC822Name) and map_type in ("san-rfc822-name", "san-any"):
        local, _, host = general.value.partition("@")
        return f"{local}@{host.lower()}"
    if isinstance(general, x509.DNSName) and map_type in ("san-dns-name", "san-any"):
        return general.value.lower()
    if isinstance(general, x509.IPAddress) and map_type in ("san-ip-address", "san-any"):
        # Dotted decimal, or 32 hexadecimal digits without colons (RFC 7407).
        return str(general.value) if general.value.version == 4 else general.value.exploded.replace(":", "")
    return None

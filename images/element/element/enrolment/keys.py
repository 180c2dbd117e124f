"""Keys that the box makes itself. Each is on disk before anybody hears of it: a box that is cut asks with the same key
again, and is given the same certificate."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier

from element import storage

IPSEC_IKE = ObjectIdentifier("1.3.6.1.5.5.7.3.17")
"""id-kp-ipsecIKE (RFC 4945, section 5.1.3.12)."""


def make(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file, on P-256; made first when there is none."""
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    new = ec.generate_private_key(ec.SECP256R1())
    storage.write(path, new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return new


def make_host_key(path: Path) -> bytes:
    """The SSH host key in a file (Ed25519, RFC 8709), made first when there is none; its public part (RFC 4253)."""
    if not path.exists():
        new = ed25519.Ed25519PrivateKey.generate()
        storage.write(path, new.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = load_ssh_private_key(path.read_bytes(), None).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]


def request(key: ec.EllipticCurvePrivateKey, serial: str) -> bytes:
    """The request (PKCS #10, RFC 2986, in DER) for the certificate of NETCONF; the operator adds the name."""
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def request_like(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, *, ike: bool = True) -> bytes:
    """The request with the names of a certificate that there is already (RFC 7030, section 4.2.1), by default IKE's."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(certificate.subject)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    builder = builder.add_extension(names, critical=False)
    if ike:
        builder = builder.add_extension(x509.ExtendedKeyUsage([IPSEC_IKE]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

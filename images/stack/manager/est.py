"""Enrolment over Secure Transport: RFC 7030, for devices that have an operational certificate."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtensionOID

from manager.authority import IPSEC_IKE, Purpose, RequestError, load_request

CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
CA_CERTS = "application/pkcs7-mime"


def decode(body: bytes, media: str | None) -> x509.CertificateSigningRequest:
    """The request of simpleenroll and simplereenroll: base64 of a PKCS#10 (section 4.2.1); RequestError."""
    if (media or "").partition(";")[0].strip().lower() != "application/pkcs10":
        raise RequestError("the content type must be application/pkcs10 (RFC 7030, section 4.2.1)")
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise RequestError("the body must be a certificate request in base64 (RFC 7030, section 4)") from error
    return load_request(der)


def encode(*certificates: x509.Certificate) -> bytes:
    """A certs-only CMS SignedData in base64 (sections 4.1.3 and 4.2.3), in lines as RFC 2045 has them."""
    return base64.encodebytes(pkcs7.serialize_certificates(list(certificates), Encoding.DER))


def wants_ike(request: x509.CertificateSigningRequest) -> bool:
    """Does the request ask for the key purpose of IKE (RFC 4945, section 5.1.3.12)?"""
    try:
        uses = request.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    assert isinstance(uses, x509.ExtendedKeyUsage)
    return IPSEC_IKE in uses


def same_names(request: x509.CertificateSigningRequest, certificate: x509.Certificate) -> bool:
    """Are subject and alternative name those of the certificate to be renewed (section 4.2.2)?

    An empty subject asks for whatever the registry says: the CA decides about names anyway.
    """
    if request.subject.rdns and request.subject != certificate.subject:
        return False
    kind = x509.SubjectAlternativeName
    try:
        asked = request.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return True
    except ValueError:
        return False
    return asked == certificate.extensions.get_extension_for_class(kind).value


def purpose_of(request: x509.CertificateSigningRequest, current: Purpose, *, renewal: bool) -> Purpose:
    """A first further certificate is IKE's; a renewal is of what the peer showed, unless it asks for IKE's."""
    return "ike" if not renewal or wants_ike(request) else current

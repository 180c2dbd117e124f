"""Enrolment over secure transport: RFC 7030, section 4.2, for the key of IKE and for renewal."""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from element.enrolment.errors import EnrolmentError
from element.enrolment.https import Https


def simple_enroll(https: Https, server: str, csr: bytes, operation: str = "simpleenroll") -> x509.Certificate:
    """A certificate for the request (PKCS #10, DER); ``simplereenroll`` for what there is already (section 4.2.2)."""
    url = f"{server.rstrip('/')}/.well-known/est/{operation}"
    headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
    answer = https.post(url, base64.encodebytes(csr), headers)
    if answer.status == 202:
        raise EnrolmentError(f"{url}: come back later (Retry-After {answer.headers.get('Retry-After')})")
    if answer.status != 200:
        text = answer.body[:200].decode(errors="replace").strip()
        raise EnrolmentError(f"{url} refuses: status {answer.status}, {text or 'no reason given'}")
    if answer.media != "application/pkcs7-mime":
        raise EnrolmentError(f"{url} answers with {answer.media}, not application/pkcs7-mime")
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))
    except (ValueError, binascii.Error) as error:
        raise EnrolmentError(f"{url} answers with no certificate: {error}") from None
    if len(certificates) != 1:
        raise EnrolmentError(f"{url} answers with {len(certificates)} certificates, not with one")
    return certificates[0]

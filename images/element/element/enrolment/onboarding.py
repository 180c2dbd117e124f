"""What the operator tells a new box (models/yang/elasticlab-enrolment.yang), checked before any of it is believed."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from element.enrolment.conveyed import parse
from element.enrolment.errors import EnrolmentError

T = TypeVar("T")

NAMESPACE = "urn:elasticlab:yang:elasticlab-enrolment"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})*")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,63}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SSH_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?")


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Name, certificate, authorities, and who may configure the box."""

    name: str
    domain: str
    certificates: tuple[x509.Certificate, ...]
    operational_ca: x509.Certificate
    service_ca: x509.Certificate
    crl: x509.CertificateRevocationList
    est_server: str
    controller: tuple[str, int]
    users: dict[str, tuple[str, ...]]
    clients: tuple[str, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The box's own."""
        return self.certificates[0]


def read(document: bytes) -> Onboarding:
    """The configuration that came in the onboarding information."""
    root = parse(document, "the configuration")
    found = root if root.tag == _tag("enrolment") else root.find(_tag("enrolment"))
    if found is None:
        raise EnrolmentError(f"the configuration holds no enrolment of {NAMESPACE}")
    controller = found.find(_tag("controller"))
    if controller is None:
        raise EnrolmentError("the enrolment lacks controller")
    return Onboarding(
        name=_leaf(found, "name", _matching(_NAME)),
        domain=_leaf(found, "domain", _matching(_DOMAIN)),
        certificates=tuple(_leaf(found, "certificate", lambda t: x509.load_pem_x509_certificates(t.encode()))),
        operational_ca=_leaf(found, "operational-ca", _certificate),
        service_ca=_leaf(found, "service-ca", _certificate),
        crl=_leaf(found, "crl", lambda t: x509.load_der_x509_crl(base64.b64decode(t))),
        est_server=_leaf(found, "est-server", str),
        controller=(
            _leaf(controller, "address", lambda t: str(ip_address(t))),
            _leaf(controller, "port", _port, "4335"),
        ),
        users={
            _leaf(user, "name", _matching(_USER)): tuple(_texts(user, "ssh-key", _SSH_KEY))
            for user in found.iterchildren(_tag("user"))
        },
        clients=tuple(_leaf(client, "name", _matching(_USER)) for client in found.iterchildren(_tag("netconf-client"))),
    )


def check(onboarding: Onboarding, key: ec.EllipticCurvePublicKey, serial: str) -> None:
    """Is the certificate ours, and does the operator's CA stand behind it and behind the list?"""
    ca, certificate = onboarding.operational_ca, onboarding.certificate
    check_certificate(certificate, ca, key)
    if onboarding.crl.issuer != ca.subject or not onboarding.crl.is_signature_valid(_public(ca)):
        raise EnrolmentError("the revocation list is not the operational CA's")
    numbers = [str(a.value) for a in certificate.subject if a.oid == x509.oid.NameOID.SERIAL_NUMBER]
    if numbers != [serial]:
        raise EnrolmentError(f"the certificate is for the box {', '.join(numbers) or 'without a number'}, not {serial}")


def check_certificate(certificate: x509.Certificate, ca: x509.Certificate, key: ec.EllipticCurvePublicKey) -> None:
    """Is it for our key, and has the CA signed it?"""
    if _encoded(certificate.public_key()) != _encoded(key):
        raise EnrolmentError("the certificate is for another key than ours")
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        raise EnrolmentError("the certificate is not signed by the operational CA") from None


def _public(ca: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = ca.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnrolmentError("the operational CA has no elliptic curve key")
    return key


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _leaf(parent: etree._Element, name: str, convert: Callable[[str], T], default: str | None = None) -> T:
    text = parent.findtext(_tag(name), default)
    if text is None:
        raise EnrolmentError(f"{etree.QName(parent).localname} lacks {name}")
    try:
        return convert(text.strip())
    except ValueError as error:
        raise EnrolmentError(f"{etree.QName(parent).localname}/{name} makes no sense: {error}") from None


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(repr(text))
        return text

    return checked


def _port(text: str) -> int:
    return int(_matching(_PORT)(text))


def _texts(parent: etree._Element, name: str, pattern: re.Pattern[str]) -> list[str]:
    texts = [(child.text or "").strip() for child in parent.iterchildren(_tag(name))]
    if bad := [text for text in texts if not pattern.fullmatch(text)]:
        raise EnrolmentError(f"{name} makes no sense: {bad[0]!r}")
    return texts


def _certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())

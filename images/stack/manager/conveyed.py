"""What a device is told at its bootstrap: conveyed information (RFC 8572, section 3.1) with our configuration in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from cryptography import x509
from cryptography.hazmat import asn1
from lxml import etree

Encoding = Literal["json", "xml"]

ENROLMENT = "urn:elasticlab:yang:elasticlab-enrolment"
CONVEYED = "urn:ietf:params:xml:ns:yang:ietf-sztp-conveyed-info"
# id-ct-sztpConveyedInfoXML and …JSON: RFC 8572, section 10.3.
_OIDS: dict[Encoding, str] = {"xml": "1.2.840.113549.1.9.16.1.42", "json": "1.2.840.113549.1.9.16.1.43"}


@asn1.sequence
class ContentInfo:
    """RFC 5652, section 3; the content of both types is an OCTET STRING (RFC 8572, section 3.1)."""

    content_type: x509.ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@dataclass(frozen=True)
class Enrolment:
    """The configuration that is handed out; a container of ``elasticlab-enrolment``."""

    name: str
    domain: str
    certificate: str
    operational_ca: str
    service_ca: str
    crl: bytes
    est_server: str
    controller: tuple[str, int]
    users: dict[str, list[str]] = field(default_factory=dict)
    netconf_clients: Iterable[str] = ()

    def xml(self) -> bytes:
        """The instance document (RFC 7950)."""
        root = etree.Element(f"{{{ENROLMENT}}}enrolment", nsmap={None: ENROLMENT})  # type: ignore[dict-item]
        _leaf(root, "name", self.name)
        _leaf(root, "domain", self.domain)
        _leaf(root, "certificate", self.certificate)
        _leaf(root, "operational-ca", self.operational_ca)
        _leaf(root, "service-ca", self.service_ca)
        _leaf(root, "crl", base64.b64encode(self.crl).decode())
        _leaf(root, "est-server", self.est_server)
        controller = etree.SubElement(root, f"{{{ENROLMENT}}}controller")
        _leaf(controller, "address", self.controller[0])
        _leaf(controller, "port", str(self.controller[1]))
        for name, keys in self.users.items():
            user = etree.SubElement(root, f"{{{ENROLMENT}}}user")
            _leaf(user, "name", name)
            for key in keys:
                _leaf(user, "ssh-key", key)
        for name in self.netconf_clients:
            _leaf(etree.SubElement(root, f"{{{ENROLMENT}}}netconf-client"), "name", name)
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _leaf(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{ENROLMENT}}}{name}").text = text


def onboarding(configuration: bytes, encoding: Encoding) -> str:
    """Onboarding information in CMS, in base64, as ``conveyed-information`` carries it."""
    content = base64.b64encode(configuration).decode()
    if encoding == "json":
        information = {"configuration-handling": "merge", "configuration": content}
        data = json.dumps({"ietf-sztp-conveyed-info:onboarding-information": information}).encode()
    else:
        root = etree.Element(f"{{{CONVEYED}}}onboarding-information", nsmap={None: CONVEYED})  # type: ignore[dict-item]
        etree.SubElement(root, f"{{{CONVEYED}}}configuration-handling").text = "merge"
        etree.SubElement(root, f"{{{CONVEYED}}}configuration").text = content
        data = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return base64.b64encode(wrap(data, encoding)).decode()


def wrap(data: bytes, encoding: Encoding) -> bytes:
    """Conveyed information in CMS, unsigned: the server is trusted (RFC 8572, section 5.4)."""
    return asn1.encode_der(ContentInfo(content_type=x509.ObjectIdentifier(_OIDS[encoding]), content=data))


def unwrap(der: bytes) -> tuple[Encoding, bytes]:
    """The other way; ValueError when it is neither of the two types."""
    info = asn1.decode_der(ContentInfo, der)
    for encoding, oid in _OIDS.items():
        if info.content_type.dotted_string == oid:
            return encoding, info.content
    raise ValueError(f"content type {info.content_type.dotted_string} is no conveyed information")

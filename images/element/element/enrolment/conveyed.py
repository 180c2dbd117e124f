"""Conveyed information: a CMS structure (RFC 5652) with JSON or XML inside (RFC 8572, sections 3.1 and 6)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from lxml import etree

from element.enrolment.errors import EnrolmentError

_JSON = bytes.fromhex("060b2a864886f70d010910012b")
"""id-ct-sztpConveyedInfoJSON, 1.2.840.113549.1.9.16.1.43, as DER."""
_XML = bytes.fromhex("060b2a864886f70d010910012a")
"""id-ct-sztpConveyedInfoXML, 1.2.840.113549.1.9.16.1.42, as DER."""
_SIGNED = bytes.fromhex("06092a864886f70d010702")
_SEQUENCE, _EXPLICIT_0, _OCTETS = 0x30, 0xA0, 0x04
_MODULE = "ietf-sztp-conveyed-info"
_NAMESPACE = f"urn:ietf:params:xml:ns:yang:{_MODULE}"


def configuration(cms: bytes) -> bytes:
    """The configuration in the onboarding information."""
    kind, content = _unwrap(cms)
    values = _json(content) if kind == _JSON else _xml(content)
    if (handling := values.get("configuration-handling")) != "merge":
        raise EnrolmentError(f"the onboarding information wants configuration-handling {handling!r}, not merge")
    if "configuration" not in values:
        raise EnrolmentError("the onboarding information has no configuration")
    try:
        return base64.b64decode("".join(values["configuration"].split()), validate=True)
    except (binascii.Error, ValueError, AttributeError):
        raise EnrolmentError("the configuration in the onboarding information is not in base64") from None


def _unwrap(cms: bytes) -> tuple[bytes, bytes]:
    """ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT OCTET STRING }."""
    try:
        [(tag, _, body)] = _elements(cms)
        [(_, kind, _), (wrapper, _, content)] = _elements(body)
        if (tag, wrapper) != (_SEQUENCE, _EXPLICIT_0):
            raise ValueError("other tags than those of a ContentInfo")
        if kind == _SIGNED:
            raise EnrolmentError("the conveyed information is signed: expected it plain, from a trusted server")
        [(tag, _, octets)] = _elements(content)
        if kind not in {_JSON, _XML} or tag != _OCTETS:
            raise ValueError("another content than conveyed information")
    except ValueError as error:
        raise EnrolmentError(f"the conveyed information is no CMS structure of RFC 8572: {error}") from None
    return kind, octets


def _elements(der: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, whole encoding and content of each element (X.690, section 10.1: definite lengths)."""
    while der:
        if len(der) < 2:
            raise ValueError("it is cut")
        length, start = der[1], 2
        if length & 0x80:
            start += length & 0x7F
            if not 3 <= start <= 6:
                raise ValueError("a length that is not of DER")
            length = int.from_bytes(der[2:start])
        end = start + length
        if end > len(der):
            raise ValueError("it is cut")
        yield der[0], der[:end], der[start:end]
        der = der[end:]


def _json(content: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(content)
        return dict(tree[f"{_MODULE}:onboarding-information"])
    except (ValueError, KeyError, TypeError):
        raise EnrolmentError("the conveyed information holds no onboarding-information (in JSON)") from None


def _xml(content: bytes) -> dict[str, Any]:
    root = parse(content, "the conveyed information")
    if root.tag != f"{{{_NAMESPACE}}}onboarding-information":
        raise EnrolmentError("the conveyed information holds no onboarding-information (in XML)")
    return {etree.QName(child).localname: child.text or "" for child in root.iterchildren("*")}


def parse(content: bytes, what: str) -> etree._Element:
    """XML without document types and entities."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise EnrolmentError(f"{what} is no XML: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise EnrolmentError(f"{what} has a document type")
    return root

"""How a simulated box becomes one of the operator's: as ours do, by its maker's identity at the manager's bootstrap
server (RFC 8572 with a certificate request by RFC 9646). What it got stays in its folder, for the next start."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lxml import etree

from harness.factory.authority import NO_EXPIRY, Authority, Subject, key_pem, load_key, new_key

SERVICE_CA = "service-ca.pem"
AT_ONCE = 16
"""Boxes that bootstrap at the same time."""
_RPC = "/restconf/operations/ietf-sztp-bootstrap-server:"
_MEDIA = "application/yang-data+json"
_ENROLMENT = "{urn:elasticlab:yang:elasticlab-enrolment}"


class IdentityError(RuntimeError):
    """A box has no usable identity; the text names it and the remedy."""


@asn1.sequence
class _ContentInfo:
    """RFC 5652, section 3; the content of conveyed information is an OCTET STRING (RFC 8572, section 3.1)."""

    content_type: x509.ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@dataclass(frozen=True)
class Maker:
    """Who makes the boxes: its CA signs their identities, its anchor says which bootstrap servers they believe."""

    authority: Authority
    anchor: Path

    @classmethod
    def at(cls, folder: Path, anchor: Path) -> Maker:
        return cls(Authority(folder), anchor)


@dataclass(frozen=True)
class Wanted:
    """A box by what its maker printed on it, and the name that the operator's registry gives it."""

    name: str
    serial: str
    model: str


class Identities:
    """A folder: `NAME.pem` and `NAME.key` of each box, and the CA of those who may configure them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service_ca = folder / SERVICE_CA

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def missing(self, boxes: Collection[Wanted]) -> list[Wanted]:
        """Those that have not bootstrapped."""
        if not self.service_ca.is_file():
            return list(boxes)
        return [box for box in boxes if not self.certificate(box.name).is_file()]

    async def enrol(self, boxes: Collection[Wanted], server: str, maker: Maker) -> None:
        """Have boxes bootstrapped; they must be in the registry. IdentityError says which is refused, and why."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = asyncio.Semaphore(AT_ONCE)

        async def one(box: Wanted) -> None:
            async with room:
                await asyncio.to_thread(self._enrol, box, server, maker)

        await asyncio.gather(*(one(box) for box in boxes))

    def _enrol(self, box: Wanted, server: str, maker: Maker) -> None:
        idevid = self.folder / f"{box.name}-idevid.pem"
        if not idevid.is_file():
            made = new_key()
            subject = Subject(box.model, serial_number=box.serial, not_after=NO_EXPIRY)
            idevid.with_suffix(".key").write_bytes(key_pem(made))
            idevid.write_bytes(maker.authority.issue(subject, made.public_key()))
        if not self.key(box.name).is_file():
            # Kept before it is asked for: the same request gets the same certificate, another key would be a clone.
            self.key(box.name).write_bytes(key_pem(new_key()))
        own = load_key(self.key(box.name))
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(own, hashes.SHA256())
        csr = base64.b64encode(request.public_bytes(Encoding.DER)).decode()
        context = ssl.create_default_context(cafile=str(maker.anchor))
        context.load_cert_chain(idevid, idevid.with_suffix(".key"))
        ask = _Server(server, context, box)
        told = ask("get-bootstrapping-data", {"ietf-sztp-csr:p10-csr": csr})
        output = json.loads(told)["ietf-sztp-bootstrap-server:output"]
        enrolment = _configuration(base64.b64decode(output["conveyed-information"]))
        ask("report-progress", {"progress-type": "bootstrap-complete"})
        self.service_ca.write_text(_text(enrolment, "service-ca"))
        certificate = _text(enrolment, "certificate")
        given = x509.load_pem_x509_certificates(certificate.encode())[0]
        names = [str(one.value) for one in given.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names != [box.name]:
            raise IdentityError(f"the registry knows {box.serial} as {names}, not as {box.name}: register it so")
        self.certificate(box.name).write_text(certificate)


class _Server:
    """The bootstrap server, as one box asks it."""

    def __init__(self, url: str, context: ssl.SSLContext, box: Wanted) -> None:
        self._url, self._box = url, box
        place = urlsplit(url)
        if place.scheme != "https" or place.hostname is None:
            raise IdentityError(f"--bootstrap {url}: no URL of https, for example https://127.0.0.1:8572")
        self._connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=60, context=context)

    def __call__(self, rpc: str, content: dict[str, Any]) -> bytes:
        body = json.dumps({"ietf-sztp-bootstrap-server:input": content})
        try:
            self._connection.request("POST", _RPC + rpc, body, {"content-type": _MEDIA, "accept": _MEDIA})
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            text = error or type(error).__name__
            raise IdentityError(f"{self._box.name}: {self._url} does not answer: {text}") from error
        if answer.status not in (200, 204):
            raise IdentityError(
                f"{self._box.name} ({self._box.serial}) is refused by {self._url}, status {answer.status}: "
                f"{said[:300].decode(errors='replace')} (is it registered, and are its makers the manager's?)"
            )
        return said


def _configuration(cms: bytes) -> etree._Element:
    information = json.loads(asn1.decode_der(_ContentInfo, cms).content)
    text = information["ietf-sztp-conveyed-info:onboarding-information"]["configuration"]
    return etree.fromstring(base64.b64decode(text))


def _text(enrolment: etree._Element, leaf: str) -> str:
    found = enrolment.findtext(f"{_ENROLMENT}{leaf}")
    if not found:
        raise IdentityError(f"the bootstrap server hands out no {leaf}")
    return found

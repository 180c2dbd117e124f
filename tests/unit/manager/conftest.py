"""A manager in this process, over real TLS on loopback, with the factory's things made here."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID
from lxml import etree
from manager import conveyed, main
from manager.settings import Settings
from stackkit import server, tokens

YANG = Path(__file__).parents[3] / "models" / "yang"
RPC = "/restconf/operations/ietf-sztp-bootstrap-server:"
JSON = {"content-type": "application/yang-data+json"}
REGISTRY = "/restconf/data/elasticlab-devices:devices"
SUPPORT = {
    "ietf-sztp-bootstrap-server:input": {
        "hw-model": "ucpe",
        "ietf-sztp-csr:csr-support": {
            "csr-generation": {"supported-formats": {"format-identifier": ["ietf-ztp-types:p10-csr"]}}
        },
    }
}


def name(common: str, serial: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if serial:
        parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    return x509.Name(parts)


def usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)


class CA:
    """A certification authority for tests."""

    def __init__(self, common: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common)
        self.certificate = self.issue(self.name, self.key, ca=True)

    def issue(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool = False, server: bool = False
    ) -> x509.Certificate:
        start = datetime.now(UTC) - timedelta(hours=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(usage(ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if server:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def store(
    folder: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None
) -> Path:
    path = folder / f"{stem}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    if key is not None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{stem}.key").write_bytes(pem)
    return path


def request_for(key: ec.EllipticCurvePrivateKey, subject: x509.Name | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def configuration_in(answer: httpx.Response) -> etree._Element:
    output = answer.json()["ietf-sztp-bootstrap-server:output"]
    encoding, data = conveyed.unwrap(base64.b64decode(output["conveyed-information"]))
    assert encoding == "json"
    information = httpx.Response(200, content=data).json()["ietf-sztp-conveyed-info:onboarding-information"]
    assert information["configuration-handling"] == "merge"
    return etree.fromstring(base64.b64decode(information["configuration"]))


def text(root: etree._Element, path: str) -> str:
    return root.findtext("/".join(f"{{{conveyed.ENROLMENT}}}{step}" for step in path.split("/"))) or ""


def certificate_in(answer: httpx.Response) -> x509.Certificate:
    return x509.load_pem_x509_certificates(text(configuration_in(answer), "certificate").encode())[0]


def certificates_of(answer: httpx.Response) -> list[x509.Certificate]:
    assert answer.status_code == 200, answer.text
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))


@dataclass
class World:
    """Factory, manager and clients."""

    folder: Path
    makers: CA = field(default_factory=lambda: CA("maker"))
    foreign: CA = field(default_factory=lambda: CA("another maker"))
    anchor: CA = field(default_factory=lambda: CA("anchor"))
    service: CA = field(default_factory=lambda: CA("service"))
    north: str = ""
    wan: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    count: int = 0

    text = staticmethod(text)
    configuration_in = staticmethod(configuration_in)
    certificate_in = staticmethod(certificate_in)
    certificates_of = staticmethod(certificates_of)
    request_for = staticmethod(request_for)

    def settings(self, **other: Any) -> Settings:
        folder = self.folder
        keys = {stem: ec.generate_private_key(ec.SECP256R1()) for stem in ("manager", "bootstrap")}
        store(folder, "manager", self.service.issue(name("manager"), keys["manager"], server=True), keys["manager"])
        shown = self.anchor.issue(name("bootstrap"), keys["bootstrap"], server=True)
        store(folder, "bootstrap", shown, keys["bootstrap"])
        (folder / "authorized_keys").write_text("# people\nssh-ed25519 AAAA admin\n")
        (folder / "data").mkdir(exist_ok=True)
        values: dict[str, Any] = {
            "data": folder / "data",
            "listen": ["127.0.0.1"],
            "port": 0,
            "certificate": folder / "manager.pem",
            "key": folder / "manager.key",
            "service_ca": store(folder, "service-ca", self.service.certificate),
            "issuer": "https://127.0.0.1:8441",
            "wan_listen": ["127.0.0.1"],
            "wan_port": 0,
            "bootstrap_certificate": folder / "bootstrap.pem",
            "bootstrap_key": folder / "bootstrap.key",
            "maker_ca": [store(folder, "maker-ca", self.makers.certificate)],
            "domain": "elasticlab.example",
            "controller_address": "203.0.113.6",
            "est_url": "https://203.0.113.6:8572",
            "admin_keys": folder / "authorized_keys",
            "yang": [YANG],
        }
        return Settings(**(values | other))

    def anchor_der(self) -> bytes:
        return self.anchor.certificate.public_bytes(Encoding.DER)

    async def verify(self, token: str, certificate: bytes | None) -> tokens.Caller:
        """Tokens are tested in stackkit; here the token is the role, and a component's name."""
        role, _, client = token.partition(":")
        if role not in ("admin", "service", "tenant"):
            raise tokens.Unauthorized("no such token")
        return tokens.Caller(token, None, frozenset({role}), client or "test", frozenset())

    async def start(self, **other: Any) -> None:
        """Serve; a second time at the ports of the first."""
        ports = [int(url.rpartition(":")[2] or 0) for url in (self.north, self.wan)]
        up, self.stop = asyncio.Event(), asyncio.Event()

        def ready(running: server.Server) -> None:
            self.ready(running)
            up.set()

        settings = self.settings(port=ports[0], wan_port=ports[1], **other)
        self.task = asyncio.create_task(main.run(settings, self.verify, ready, self.stop))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait([self.task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if self.task.done():
            await self.task

    async def halt(self) -> None:
        """The manager is away."""
        assert self.task is not None
        self.stop.set()
        await self.task

    def ready(self, running: server.Server) -> None:
        north, wan = running.ports
        self.north, self.wan = f"https://127.0.0.1:{north}", f"https://127.0.0.1:{wan}"

    def client(self, ca: CA, certificate: Path | None = None, **other: Any) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=ca.certificate.public_bytes(Encoding.PEM).decode())
        if certificate is not None:
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return httpx.AsyncClient(verify=context, **other)

    def operator(self, role: str = "admin") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {role}", "accept": "application/yang-data+json"}
        return self.client(self.service, base_url=self.north, headers=headers)

    def visitor(self, serial: str, *, maker: CA | None = None, key: ec.EllipticCurvePrivateKey | None = None) -> Box:
        key = key or ec.generate_private_key(ec.SECP256R1())
        self.count += 1
        certificate = (maker or self.makers).issue(name("ucpe", serial), key)
        path = store(self.folder, f"idevid-{self.count}", certificate, key)
        return Box(self, serial, key, path)

    async def register(self, serial: str, **leafs: str) -> None:
        device = {"serial": serial, "name": serial.lower(), "model": "ucpe"} | leafs
        async with self.operator() as client:
            body = {"elasticlab-devices:device": [device]}
            answer = await client.put(f"{REGISTRY}/device={serial}", json=body, headers=JSON)
        assert answer.status_code in (201, 204), answer.text

    async def device(self, serial: str) -> dict[str, Any]:
        async with self.operator() as client:
            answer = await client.get(f"{REGISTRY}/device={serial}")
        assert answer.status_code == 200, answer.text
        return answer.json()["elasticlab-devices:device"][0]

    async def alarms(self) -> dict[str, dict[str, Any]]:
        """Alarms by type."""
        async with self.operator() as client:
            answer = await client.get("/restconf/data/ietf-alarms:alarms/alarm-list")
        assert answer.status_code == 200, answer.text
        found = answer.json()["ietf-alarms:alarm-list"].get("alarm", [])
        return {one["alarm-type-id"].partition(":")[2]: one for one in found}

    async def quarantine(self, serial: str, role: str = "service:controller", **given: Any) -> httpx.Response:
        """The registry's action."""
        body = {"elasticlab-devices:input": {"reason": "seen twice"} | given}
        async with self.operator(role) as client:
            return await client.post(f"{REGISTRY}/device={serial}/quarantine", json=body, headers=JSON)

    async def crl(self) -> x509.CertificateRevocationList:
        async with self.client(self.anchor) as client:
            answer = await client.get(f"{self.wan}/crl")
        assert answer.headers["content-type"] == "application/pkix-crl"
        return x509.load_der_x509_crl(answer.content)


@dataclass
class Box:
    """A foreign device: its IDevID, and what it makes itself."""

    world: World
    serial: str
    key: ec.EllipticCurvePrivateKey
    idevid: Path
    own: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    async def post(self, rpc: str, body: Any) -> httpx.Response:
        async with self.world.client(self.world.anchor, self.idevid, base_url=self.world.wan) as client:
            return await client.post(RPC + rpc, json=body, headers=JSON)

    async def ask(self) -> httpx.Response:
        return await self.post("get-bootstrapping-data", SUPPORT)

    async def bootstrap(self, key: ec.EllipticCurvePrivateKey | None = None) -> httpx.Response:
        csr = base64.b64encode(request_for(key or self.own)).decode()
        body = {"ietf-sztp-bootstrap-server:input": {"ietf-sztp-csr:p10-csr": csr}}
        return await self.post("get-bootstrapping-data", body)

    async def report(self, kind: str) -> httpx.Response:
        body = {"ietf-sztp-bootstrap-server:input": {"progress-type": kind, "message": "said the box"}}
        return await self.post("report-progress", body)

    async def join(self) -> x509.Certificate:
        answer = await self.bootstrap()
        assert answer.status_code == 200, answer.text
        assert (await self.report("bootstrap-complete")).status_code == 204
        return self.keep(certificate_in(answer))

    def keep(self, certificate: x509.Certificate, stem: str = "operational") -> x509.Certificate:
        self.operational = store(self.world.folder, f"{stem}-{self.serial}", certificate, self.own)
        return certificate

    async def est(self, operation: str, csr: bytes, media: str = "application/pkcs10") -> httpx.Response:
        async with self.world.client(self.world.anchor, self.operational, base_url=self.world.wan) as client:
            headers = {"content-type": media}
            path = f"/.well-known/est/{operation}"
            return await client.post(path, content=base64.encodebytes(csr), headers=headers)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.start()
    yield made
    await made.halt()

"""Real certificates, made once a run, and a server on a loopback socket."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stackkit import tls
from stackkit.server import Listener, Server

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


class Authority:
    """A CA that signs what a test needs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.subject, self.key, -DAY, 10 * DAY)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = builder.add_extension(basic, critical=True).sign(self.key, hashes.SHA256())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, start: dt.timedelta, end: dt.timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(self.subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW + start)
            .not_valid_after(NOW + end)
        )

    def issue(self, name: str, start: dt.timedelta = -DAY, end: dt.timedelta = DAY) -> Credential:
        """A certificate for server and client; by default valid now, for `localhost` and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key, start, end).add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        )
        return Credential.write(self.folder, name, certificate, key)

    def crl(self, path: Path, *revoked: x509.Certificate) -> Path:
        """A CRL of this authority, in PEM."""
        builder = x509.CertificateRevocationListBuilder(self.subject, NOW - DAY, NOW + DAY)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder(one.serial_number, NOW - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(self.key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


@dataclass
class Credential:
    certificate: x509.Certificate
    cert: Path
    key: Path

    @classmethod
    def write(
        cls, folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> Credential:
        cert, keyfile = (
            folder / f"{name}-{certificate.serial_number}.pem",
            folder / f"{name}-{certificate.serial_number}.key",
        )
        cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        keyfile.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cls(certificate, cert, keyfile)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass
class Pki:
    ca: Authority
    other: Authority
    server: Credential
    client: Credential
    second: Credential
    stranger: Credential
    expired: Credential


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Two authorities; credentials of the first, one of a stranger, one that has expired."""
    folder = tmp_path_factory.mktemp("pki")
    ca, other = Authority(folder, "service-ca"), Authority(folder, "other-ca")
    return Pki(
        ca,
        other,
        server=ca.issue("server"),
        client=ca.issue("client"),
        second=ca.issue("second"),
        stranger=other.issue("stranger"),
        expired=ca.issue("expired", -3 * DAY, -2 * DAY),
    )


@dataclass
class Running:
    server: Server
    port: int
    refused: list[tuple[str, str]]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


Serving = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serving(pki: Pki) -> Serving:
    """`async with serving(app, require_client=True) as running`: a server on a free port of 127.0.0.1."""

    @asynccontextmanager
    async def run(
        app: Any, *, context: Any = None, require_client: bool = False, **options: Any
    ) -> AsyncIterator[Running]:
        refused: list[tuple[str, str]] = []
        settings = {name: options.pop(name) for name in ("grace", "max_body") if name in options}
        host = options.pop("host", "127.0.0.1")
        context = context or tls.server_context(pki.server.cert, pki.server.key, pki.ca.path, require_client)
        listener = Listener(host, 0, context, lambda peer, why: refused.append((peer, why)), **options)
        server = Server(app, [listener], **settings)
        await server.start()
        try:
            yield Running(server, server.ports[0], refused)
        finally:
            await server.stop()

    return run

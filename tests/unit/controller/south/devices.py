"""Devices: real NETCONF servers with confirmed commit, on loopback, with a system that remembers what it was told."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yangkit.backend import ApplyError, Tree
from yangkit.certnames import NameRule
from yangkit.client import NetconfClient, connect_tls
from yangkit.datastores import Datastores
from yangkit.operations import RpcCall
from yangkit.schema import Schema
from yangkit.server import NetconfServer

INTERFACES = "ietf-interfaces:interfaces"
SECRET = "elasticlab-ipsec:secret"
YANG = Path(__file__).parents[4] / "models" / "yang"


class Authority:
    """A certificate authority, what it has issued, and what it has revoked."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(exist_ok=True)
        self.directory, self.name = directory, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), None, ca=True)
        self.ca = directory / f"{name}-ca.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        self.revoked: list[int] = []
        self.issues = 0

    def _sign(self, subject: x509.Name, key: Any, san: str | None, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(san)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, serial: str | None = None) -> dict[str, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if serial is not None:
            attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
        certificate = self._sign(x509.Name(attributes), key.public_key(), f"{name}.elasticlab.example", ca=False)
        self.issues += 1
        cert_file, key_file = self.directory / f"{self.issues}.pem", self.directory / f"{self.issues}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {"cert": cert_file, "key": key_file}

    def revoke(self, cert: Path) -> None:
        self.revoked.append(x509.load_pem_x509_certificate(cert.read_bytes()).serial_number)

    def crl(self, *, age: float = 60, life: float = 86400) -> bytes:
        """A list that was made so many seconds ago, and how long it is good from then on."""
        made = datetime.now(UTC) - timedelta(seconds=age)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(made)
            .next_update(made + timedelta(seconds=life))
        )
        for number in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(made).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@dataclass
class System:
    """What the device's configuration is applied to; ``refuse`` makes it refuse, ``taken`` an interface of that
    name (somebody else has one); ``during`` runs while it changes."""

    applied: list[Tree] = field(default_factory=list)
    refuse: str | None = None
    taken: str | None = None
    during: Any = None

    async def apply(self, old: Tree, new: Tree) -> None:
        if self.during is not None:
            self.during()
        if self.refuse is not None:
            raise ApplyError(self.refuse, f"/{INTERFACES}")
        if self.taken in {interface["name"] for interface in new.get(INTERFACES, {}).get("interface", ())}:
            where = f"/{INTERFACES}/interface[name='{self.taken}']"
            raise ApplyError(f"link {self.taken} is there already", where)
        self.applied.append(new)

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        return {}


class Device:
    """A box: it keeps its startup file over power cuts."""

    def __init__(self, name: str, schema: Schema, authority: Authority, directory: Path) -> None:
        self.name, self.schema, self.authority = name, schema, authority
        self.startup = directory / f"{name}.xml"
        self.identity = authority.issue(name, f"SN-{name}")
        self.system = System()
        self.port = 0
        self.rpcs: dict[str, Any] = {"elasticlab-element:install-crl": self._install_crl}
        self.lists: list[bytes] = []
        self._clients: list[NetconfClient] = []

    async def start(self) -> None:
        self.stores = Datastores(self.schema, self.system, self.startup)
        await self.stores.start()
        self.server = NetconfServer(
            self.stores, rpcs=self.rpcs, recovery_users=("controller", "admin"), write_only=(SECRET,)
        )
        self.port = await self.server.listen_tls(
            "127.0.0.1", self.port, **self.identity, ca=self.authority.ca, names=[NameRule("common-name")]
        )

    async def _install_crl(self, call: RpcCall) -> Tree:
        self.lists.append(b64decode(call.input["crl"]))
        return {}

    def call(self, port: int) -> None:
        """Call the controller home, again and again."""
        self.home = self.server.call_home_tls(
            "127.0.0.1", port, **self.identity, ca=self.authority.ca, names=[NameRule("common-name")]
        )

    async def power_cut(self) -> None:
        """Sessions break; what was not made durable is forgotten."""
        for client in self._clients:
            client.abort()
        await self.server.close()
        await self.stores.close()

    async def reboot(self) -> None:
        await self.power_cut()
        await self.start()

    async def connect(self, user: str = "controller") -> NetconfClient:
        client = await connect_tls(
            "127.0.0.1",
            self.port,
            **self.authority.issue(user),
            ca=self.authority.ca,
            server_name=f"{self.name}.elasticlab.example",
            deadline=5,
        )
        self._clients.append(client)
        return client

    @property
    def interfaces(self) -> set[str]:
        return {entry["name"] for entry in self.stores.running.get(INTERFACES, {}).get("interface", [])}

    @property
    def pending(self) -> bool:
        return self.server.commits.pending is not None


class Fleet:
    """Devices and the controller's sessions with them."""

    def __init__(self, devices: dict[str, Device]) -> None:
        self.devices = devices
        self.sessions: dict[str, NetconfClient] = {}

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    async def connect(self, *names: str) -> None:
        for name in names or self.devices:
            self.sessions[name] = await self.devices[name].connect()

    def session(self, name: str) -> NetconfClient | None:
        return self.sessions.get(name)

    def vanish(self, name: str) -> None:
        """The cable is cut: the session breaks at once, the device goes on."""
        self.sessions.pop(name).abort()

    def have(self, interface: str) -> set[str]:
        return {name for name, device in self.devices.items() if interface in device.interfaces}


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Poll; fail when the time is over."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)

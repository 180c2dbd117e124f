"""A real server on real sockets, and the keys and certificates it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yangkit.backend import ApplyError, Tree
from yangkit.certnames import NameRule
from yangkit.client import NetconfClient, connect_ssh, connect_tls
from yangkit.datastores import Check, Datastores
from yangkit.operations import RpcCall
from yangkit.schema import Module, Schema
from yangkit.server import Limits, NetconfServer

YANG = Path(__file__).parent / "yang"
MODULES = (
    Module("kit-test", ("shown",)),
    Module("ietf-interfaces"),
    Module("ietf-ip"),
    Module("iana-if-type"),
)


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema([YANG], MODULES)


@dataclass
class Recorder:
    """A backend that remembers; ``refuse`` makes it refuse, ``gate`` makes it wait."""

    applied: list[Tree] = field(default_factory=list)
    refuse: ApplyError | Exception | None = None
    operational: Tree = field(default_factory=dict)
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def apply(self, old: Tree, new: Tree) -> None:
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(new)

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        return self.operational


class Pki:
    """A certificate authority with what it has issued."""

    def __init__(self, directory: Path, name: str = "operator") -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._build(self._name, self._key.public_key(), True, None, 0, 3650)
        self.ca = directory / f"{name}-ca.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject: x509.Name, key: Any, ca: bool, san: str | None, start: int, end: int) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=start, minutes=-5))
            .not_valid_after(now + timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(san)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, name: str, *, san: str | None = None, start: int = 0, end: int = 365) -> dict[str, Path]:
        """Files of a new key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), False, san, start, end)
        cert_file, key_file = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {"cert": cert_file, "key": key_file}


@dataclass
class Keys:
    """Keys and certificates of a test run."""

    directory: Path
    pki: Pki
    host_key: Path
    users: dict[str, Path]
    authorized: dict[str, Path]
    server_tls: dict[str, Path]
    admin_tls: dict[str, Path]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    users, authorized = {}, {}
    for user in ("host", "admin", "guest", "stranger"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(directory / user))
        key.write_public_key(str(directory / f"{user}.pub"))
        users[user], authorized[user] = directory / user, directory / f"{user}.pub"
    pki = Pki(directory / "pki")
    return Keys(
        directory,
        pki,
        users.pop("host"),
        users,
        {user: authorized[user] for user in ("admin", "guest")},
        pki.issue("server", san="server.example"),
        pki.issue("admin", san="admin"),
    )


class Lab:
    """A running server and ways to its clients."""

    def __init__(self, schema: Schema, keys: Keys, directory: Path) -> None:
        self.schema, self.keys = schema, keys
        self.backend = Recorder()
        self.startup = directory / "startup.xml"
        self.many_edits = False
        self.calls: list[RpcCall] = []
        self._clients: list[NetconfClient] = []

    async def start(
        self, default: Tree | None = None, limits: Limits | None = None, check: Check | None = None
    ) -> None:
        self.stores = Datastores(
            self.schema, self.backend, self.startup, default, check=check, many_edits=self.many_edits
        )
        await self.stores.start()
        self.server = NetconfServer(
            self.stores,
            rpcs={"kit-test:echo": self._echo, "/kit-test:machine/restart": self._restart},
            write_only=("kit-test:key",),
            limits=limits,
        )
        self.ssh_port = await self.server.listen_ssh(
            "127.0.0.1", 0, host_key=self.keys.host_key, authorized_keys=self.keys.authorized
        )
        self.tls_port = await self.server.listen_tls(
            "127.0.0.1", 0, **self.keys.server_tls, ca=self.keys.pki.ca, names=[NameRule("san-dns-name")]
        )

    async def _echo(self, call: RpcCall) -> Tree:
        self.calls.append(call)
        return {"text": call.input["text"]}

    async def _restart(self, call: RpcCall) -> Tree:
        self.calls.append(call)
        return {"finished": f"{call.path['machine']['name']} after {call.input['delay']}"}

    async def ssh(self, user: str = "admin") -> NetconfClient:
        return self._keep(
            await connect_ssh(
                "127.0.0.1",
                self.ssh_port,
                username=user,
                client_key=self.keys.users[user],
                host_key=self.keys.host_key,
                deadline=10,
            )
        )

    async def tls(self, **files: Path) -> NetconfClient:
        return self._keep(
            await connect_tls(
                "127.0.0.1",
                self.tls_port,
                **{"ca": self.keys.pki.ca, **(files or self.keys.admin_tls)},
                server_name="server.example",
                deadline=10,
            )
        )

    def _keep(self, client: NetconfClient) -> NetconfClient:
        self._clients.append(client)
        return client

    async def stop(self) -> None:
        for client in self._clients:
            client.abort()
        await self.server.close()
        await self.stores.close()


@pytest.fixture
async def lab(schema: Schema, keys: Keys, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(schema, keys, tmp_path)
    await lab.start()
    yield lab
    await lab.stop()


@pytest.fixture
async def client(lab: Lab) -> NetconfClient:
    return await lab.ssh()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition, ten seconds at most."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - conditions of any kind
                await asyncio.sleep(0.01)

    return wait

"""GRO as its node runs it: a process with mutual TLS, tokens of a real identity, and real RESTCONF peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
from stackkit import restconf, server, tls, tokens

from tests.unit.gro import program
from tests.unit.gro.peer import Network
from tests.unit.identity.conftest import Identity

OFFERS = Path(__file__).parents[3] / "models" / "offers"
ORDERING = "/tmf-api/serviceOrdering/v4"
TENANTS = ("acme", "rival")
_START_SECONDS = 30.0


@dataclass
class Tokens:
    """Access tokens of an administrator's program and of a program of each tenant."""

    identity: Identity
    secrets: dict[str, str] = field(default_factory=dict)
    _known: dict[str, tuple[str, float]] = field(default_factory=dict)

    def found(self) -> None:
        """Tenants and their programs, as an administrator makes them (SCIM)."""
        with self.identity.admin() as admin:
            for tenant in TENANTS:
                new = {"schemas": ["urn:elasticlab:scim:Tenant"], "name": tenant, "displayName": tenant}
                admin.post("/scim/v2/Tenants", json=new).raise_for_status()
                new = {"schemas": ["urn:elasticlab:scim:Program"], "clientId": f"{tenant}-program"}
                made = admin.post("/scim/v2/Programs", json={**new, "tenant": tenant, "roles": ["tenant"]})
                made.raise_for_status()
                self.secrets[tenant] = made.json()["secret"]

    def of(self, tenant: str | None) -> str:
        """A token that holds for minutes yet; None: an administrator's."""
        token, since = self._known.get(tenant or "", ("", 0.0))
        if time.monotonic() - since > 240 or not token:
            token = self.identity.labctl_token() if tenant is None else self._get(tenant)
            self._known[tenant or ""] = (token, time.monotonic())
        return token

    def _get(self, tenant: str) -> str:
        auth = (f"{tenant}-program", self.secrets[tenant])
        with self.identity.client() as client:
            answer = client.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth)
        return str(answer.raise_for_status().json()["access_token"])


@dataclass
class World:
    """One GRO with its database, killed and started as often as a test wants."""

    folder: Path
    tokens: Tokens
    network: Network
    port: int
    client: httpx.AsyncClient
    process: ForkServerProcess | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def start(self, kill_at: str | None = None) -> None:
        self.process = program.start(self.folder / "gro.toml", self.folder / "gro.log", kill_at)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                (await self.client.get("/health")).raise_for_status()
                return
            if not self.process.is_alive():
                return  # killed at once: it had to go on with something
            assert time.monotonic() < deadline, f"GRO does not come: {self.log}"
            await asyncio.sleep(0.02)

    async def died(self) -> None:
        """It has killed itself where it was told to."""
        assert self.process is not None
        await asyncio.to_thread(self.process.join, 20)
        assert self.process.exitcode == -9, f"exit code {self.process.exitcode}: {self.log}"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()

    @property
    def log(self) -> str:
        file = self.folder / "gro.log"
        return file.read_text()[-3000:] if file.exists() else ""

    async def call(self, method: str, path: str, body: Any = None, tenant: str | None = "acme") -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens.of(tenant)}"}
        return await self.client.request(method, path, json=body, headers=headers)

    async def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", f"{ORDERING}/serviceOrder")).json()
        return found

    async def until(self, *states: str, seconds: float = 20.0) -> dict[str, Any]:
        """The last order, once it is in one of these states."""
        deadline = time.monotonic() + seconds
        while True:
            order = (await self.orders())[-1]
            if order["state"] in states:
                return order
            assert time.monotonic() < deadline, f"{order['state']} after {seconds} s: {order}\n{self.log}"
            await asyncio.sleep(0.02)


def context(identity: Identity, name: str | None = None) -> ssl.SSLContext:
    folder = identity.authority.directory
    if name is None:
        return tls.client_context(folder / "ca.pem")
    return tls.server_context(folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem")


@contextlib.asynccontextmanager
async def world(folder: Path, tokens_: Tokens, network: Network) -> AsyncIterator[World]:
    """Peers that serve; GRO is to be started."""
    identity = tokens_.identity
    certificates = identity.authority.directory
    verifier = tokens.Verifier(identity.url, f"{identity.url}/oauth2/jwks", context(identity))
    authenticate = restconf.authenticator(verifier.verify, "components only")
    listeners = []
    for name, peer in (("controller", network.controller), ("manager", network.manager)):
        peer.authenticate_with = authenticate
        listeners.append(server.Listener("127.0.0.1", 0, context(identity, name), app=peer))
    peers = server.Server(None, listeners, grace=0.2)
    await peers.start()
    port = _free_port()
    values = {
        "data": folder, "listen": ["127.0.0.1"], "port": port, "certificate": certificates / "gro.pem",
        "key": certificates / "gro.key", "service_ca": certificates / "ca.pem", "issuer": identity.url,
        "identity_url": identity.url, "controller_url": f"https://localhost:{peers.ports[0]}",
        "manager_url": f"https://localhost:{peers.ports[1]}", "offers": OFFERS, "internal_callbacks": True,
        "domain": "elasticlab.example",
    }  # fmt: skip
    lines = [f"{key} = {_toml(value)}\n" for key, value in values.items()]
    (folder / "gro.toml").write_text("".join(lines))
    async with httpx.AsyncClient(
        base_url=f"https://localhost:{port}", verify=context(identity), trust_env=False, timeout=20
    ) as client:
        made = World(folder, tokens_, network, port, client)
        try:
            yield made
        finally:
            made.kill()
            await network.close()
            await peers.stop()
            await verifier.aclose()


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(str(value) if isinstance(value, Path) else value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""The portal over TLS beside a real identity and a real GRO: what starts them, and a browser without scripts."""

from __future__ import annotations

import asyncio
import html
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
from portal.app import Portal
from portal.settings import Settings
from stackkit import server, tls

from tests.unit.portal.south import South

UNIT = Path(__file__).parents[1]
OFFERS = UNIT.parents[1] / "models" / "offers"
PASSWORD = "a password, long enough"
ORDERING = "/tmf-api/serviceOrdering/v4"


def _load(name: str) -> ModuleType:
    """Another component's test world: its process as its own tests start it."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_portal", UNIT / name / "conftest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


identities = _load("identity")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """Identity and GRO, running, and where the portal will be."""

    directory: Path
    identity: Any
    south: South
    gro_url: str
    url: str

    def trust(self) -> Path:
        return self.directory / "ca.pem"

    def settings(self, data: Path, **changes: Any) -> Settings:
        values = {
            "data": data, "listen": ["127.0.0.1"], "port": urlsplit(self.url).port,
            "certificate": self.directory / "portal.pem", "key": self.directory / "portal.key",
            "service_ca": self.trust(), "issuer": self.identity.url, "identity_url": self.identity.url,
            "gro_url": self.gro_url, "public_url": self.url,
            "manager_url": self.south.manager_url, "controller_url": self.south.controller_url,
        }  # fmt: skip
        return Settings(**{**values, **changes})

    def scim(self, method: str, path: str, body: Any = None) -> Any:
        with self.identity.admin() as client:
            answer = client.request(method, f"/scim/v2/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add_user(self, name: str, tenant: str | None, shown: str = "") -> str:
        """A user of a tenant, or an administrator; its id."""
        account: dict[str, Any] = {"roles": ["tenant" if tenant else "admin"]}
        if tenant:
            account["tenant"] = tenant
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:elasticlab:scim:Account"],
            "userName": name, "password": PASSWORD, "displayName": shown or name,
            "urn:elasticlab:scim:Account": account,
        }  # fmt: skip
        return str(self.scim("POST", "Users", body)["id"])


def wait_until_it_answers(process: subprocess.Popen[bytes], url: str, trust: Path) -> None:
    deadline = time.monotonic() + 30
    with httpx.Client(verify=tls.client_context(trust), trust_env=False) as client:
        while True:
            try:
                client.get(f"{url}/health").raise_for_status()
                return
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def start_gro(directory: Path, issuer: str, south: South) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    data = directory / "gro-data"
    data.mkdir()
    settings = directory / "gro.toml"
    settings.write_text(
        f"""
data = "{data}"
listen = ["127.0.0.1"]
port = {port}
certificate = "{directory}/gro.pem"
key = "{directory}/gro.key"
service_ca = "{directory}/ca.pem"
issuer = "{issuer}"
identity_url = "{issuer}"
manager_url = "{south.manager_url}"
controller_url = "{south.controller_url}"
domain = "elasticlab.example"
offers = "{OFFERS}"
"""
    )
    environment = {**os.environ, "ELASTICLAB_SETTINGS": str(settings)}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen([sys.executable, "-m", "gro"], env=environment), f"https://127.0.0.1:{port}"


class running:
    """A portal with its listener."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.portal = Portal(settings)
        self._settings = settings

    async def __aenter__(self) -> Portal:
        await self.portal.__aenter__()
        context = tls.server_context(self._settings.certificate, self._settings.key)
        self._server = server.Server(self.portal.app, [server.Listener("127.0.0.1", self._settings.port, context)])
        await self._server.start()
        return self.portal

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
        await self.portal.__aexit__(None, None, None)


def hidden(page: str, name: str) -> str:
    match = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert match, page
    return html.unescape(match[1])


@dataclass
class Browser:
    """What a browser does, without scripts: cookies, forms and redirects."""

    world: World
    client: httpx.AsyncClient
    seen: list[httpx.Response] = field(default_factory=list)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def follow(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            self.seen.append(answer)
            answer = await self.client.get(str(answer.next_request.url))  # type: ignore[union-attr]
        return answer

    async def post(self, path: str, fields: dict[str, str], csrf: str | None = None, **headers: str) -> httpx.Response:
        """A form that stands on one of our pages: with that page's token and the origin that browsers tell."""
        token = csrf if csrf is not None else hidden((await self.follow(await self.get("/catalogue"))).text, "csrf")
        sent = {"origin": self.world.url, "sec-fetch-site": "same-origin", **headers}
        return await self.client.post(path, data={"csrf": token, **fields}, headers=sent)

    async def log_in(self, name: str, path: str = "/login?next=/catalogue") -> httpx.Response:
        form = await self.follow(await self.get(path))
        assert 'name="password"' in form.text, form.text
        fields = {"csrf": hidden(form.text, "csrf"), "request": hidden(form.text, "request")}
        place = self.world.identity.url + "/login"
        answer = await self.client.post(place, data={**fields, "username": name, "password": PASSWORD})
        return await self.follow(answer)

    @property
    def session(self) -> str | None:
        return next((one.value for one in self.client.cookies.jar if one.name == "__Host-portal"), None)


def browser_of(world: World) -> Browser:
    context = tls.client_context(world.trust())
    return Browser(world, httpx.AsyncClient(base_url=world.url, verify=context, timeout=20, trust_env=False))


async def planned(browser: Browser, fields: dict[str, str], offer: str = "site-to-internet") -> httpx.Response:
    answer = await browser.post(f"/catalogue/{offer}", fields)
    assert answer.status_code == 303, answer.text
    return await browser.follow(answer)


async def ordered(browser: Browser, fields: dict[str, str], offer: str = "site-to-internet") -> str:
    """Plan, then order; the path of the order's page."""
    plan = await planned(browser, fields, offer)
    answer = await browser.post(plan.url.path, {}, csrf=hidden(plan.text, "csrf"))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def until(browser: Browser, path: str, state: str) -> str:
    async with asyncio.timeout(20):
        while True:
            page = (await browser.get(path)).text
            if f'class="state {state}"' in page.partition('id="order-state"')[2][:60]:
                return page
            await asyncio.sleep(0.05)


def orders_at_gro(world):
    with world.identity.admin() as admin:
        return admin.get(f"{world.gro_url}{ORDERING}/serviceOrder").json()

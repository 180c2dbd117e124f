"""GRO with real RESTCONF peers on sockets: yangkit on the controller's and the manager's YANG modules (peer.py)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Request
from gro import catalogue, store
from gro.api import create_app
from gro.desk import Desk
from gro.restconf import Controller, Manager, Restconf
from gro.work import at_work
from stackkit.database import Database
from stackkit.problems import Problem
from stackkit.tokens import Caller

from tests.unit.gro.peer import Network
from tests.unit.gro.world import Tokens, World
from tests.unit.gro.world import world as make_world
from tests.unit.identity.conftest import make as make_identity

OFFERS = Path(__file__).parents[3] / "models" / "offers"
ORDERING = "/tmf-api/serviceOrdering/v4"


@dataclass
class Listener:
    """Whom /hub tells; it answers with `status`. `told`: the path of each callback and its event."""

    url: str = ""
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    status: int = 204
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for _, event in self.told]

    async def until(self, state: str, order: str | None = None) -> list[dict[str, Any]]:
        """What it was told, once an event says that an order (this one) has this state."""

        def said() -> bool:
            orders = [event["event"].get("serviceOrder", {}) for event in self.events]
            return any(one.get("state") == state and order in (None, one["id"]) for one in orders)

        await self.heard(said)
        return self.events

    async def heard(self, said: Callable[[], bool]) -> None:
        """Each subscription is told in its own time."""
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(said)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        content = await Request(scope, receive).json()
        if self.status < 300:
            async with self.came:
                self.told.append((scope["path"], content))
                self.came.notify_all()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@dataclass
class Gro:
    desk: Desk
    network: Network
    listener: Listener
    url: str
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None, tenant: str | None = "acme") -> httpx.Response:
        headers = {"x-tenant": tenant or ""}
        return await self.client.request(method, path, json=body, headers=headers)

    async def order(self, *items: dict[str, Any], tenant: str = "acme") -> httpx.Response:
        return await self.call("POST", f"{ORDERING}/serviceOrder", {"serviceOrderItem": list(items)}, tenant)

    async def finished(self, answer: httpx.Response, tenant: str | None = "acme") -> dict[str, Any]:
        assert answer.status_code == 201, answer.text
        async with asyncio.timeout(20):
            await self.desk.engine.finished(answer.json()["id"])
        return (await self.call("GET", answer.json()["href"], tenant=tenant)).json()

    async def until(
        self, answer: httpx.Response, state: str, step: str = "", status: str = "", message: str = ""
    ) -> dict[str, Any]:
        """The order once it is in this state, its last step (if one is named) in this status and with this in its
        message."""
        with self.desk.notices.watching(answer.json()["id"]) as changed:
            async with asyncio.timeout(20):
                while True:
                    changed.clear()
                    found = (await self.call("GET", answer.json()["href"], tenant=None)).json()
                    last = found.get("milestone", [{"name": "", "status": ""}])[-1]
                    fits = step in ("", last["name"]) and status in ("", last["status"])
                    if found["state"] == state and fits and message in last.get("message", ""):
                        return found
                    await changed.wait()


async def authenticate(request: Request) -> Caller:
    """Tokens are another kit's tests: here the caller is who the header says."""
    if "x-tenant" not in request.headers:
        raise Problem(401, "Unauthorized", "no token", headers={"WWW-Authenticate": "Bearer"})
    tenant = request.headers["x-tenant"] or None
    return Caller("sub", tenant, frozenset({"tenant" if tenant else "admin"}), "test", frozenset())


class Server(uvicorn.Server):
    """uvicorn, without the tick that would let every test end late."""

    async def main_loop(self) -> None:
        self.ending = asyncio.Event()
        await self.ending.wait()


@contextlib.asynccontextmanager
async def serving(*apps: Any) -> AsyncIterator[list[str]]:
    """Applications on sockets of loopback; their URLs."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in apps]
    servers = [
        Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)) for app in apps
    ]
    tasks = [asyncio.create_task(one.serve([at])) for one, at in zip(servers, listeners, strict=True)]
    yield [f"http://127.0.0.1:{one.getsockname()[1]}" for one in listeners]
    for server in servers:
        server.ending.set()
    await asyncio.gather(*tasks)
    for listener in listeners:
        listener.close()


async def plugged_in(folder: Path) -> Network:
    """Peers that know the devices S1 to S4 of acme."""
    network = Network(folder)
    await network.start()
    for number in range(1, 5):
        await network.plug_in(f"S{number}")
    return network


@contextlib.asynccontextmanager
async def running(folder: Path, network: Network) -> AsyncIterator[Gro]:
    """GRO in this process."""
    database = Database(folder / "gro.sqlite", store.MIGRATIONS)
    listener = Listener()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(database.close)
        southbound = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        peers = serving(network.controller, network.manager, listener)
        north, registry, listener.url = await stack.enter_async_context(peers)
        stack.push_async_callback(network.close)
        desk = await stack.enter_async_context(
            at_work(
                database, catalogue.load(OFFERS), Controller(Restconf(southbound, north, "controller")),
                Manager(Restconf(southbound, registry, "manager")), southbound,
                domain="elasticlab.example", internal_callbacks=True,
            )
        )  # fmt: skip
        (url,) = await stack.enter_async_context(serving(create_app(desk, authenticate)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=20))
        async with asyncio.timeout(20):
            await desk.watch.following.wait()
        yield Gro(desk, network, listener, url, client)


@pytest.fixture
async def network(tmp_path: Path) -> Network:
    return await plugged_in(tmp_path)


@pytest.fixture
async def gro(tmp_path: Path, network: Network) -> AsyncIterator[Gro]:
    async with running(tmp_path, network) as made:
        yield made


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    """Tokens of a real identity, and certificates of its service CA."""
    identity = make_identity(tmp_path_factory.mktemp("identity"))
    for component in ("gro", "controller"):
        identity.authority.issue(component, [f"{component}.elasticlab.example"])
    identity.start()
    made = Tokens(identity)
    made.found()
    yield made
    identity.kill()


@pytest.fixture
async def world(tmp_path: Path, tokens: Tokens, network: Network) -> AsyncIterator[World]:
    async with make_world(tmp_path, tokens, network) as made:
        yield made


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """Somebody to be told by /hub."""
    made = Listener()
    async with serving(made) as (made.url,):
        yield made

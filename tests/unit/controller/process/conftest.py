"""A whole controller, a real manager that takes the boxes in, and boxes whose tunnels come and go as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from controller import main
from controller.settings import Settings
from controller.southbound.quarantine import Quarantine
from stackkit import server, tokens
from stackkit.database import Database
from yangkit import RpcCall, Schema

from tests.unit.controller.south import conftest as south
from tests.unit.controller.south import devices, managed

HERE = Path(__file__).parent
UNIT = HERE.parents[1]
YANG = HERE.parents[3] / "models" / "yang"
DATA = "application/yang-data+json"
PATCH = "application/yang-patch+json"
#: Names and serial numbers.
BOXES = {"vmsr-1": "V1", "ucpe-1": "U1", "ucpe-2": "U2"}


def _load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


manager_world = _load(UNIT / "manager" / "conftest.py", "process_manager_world")
sessions = _load(UNIT / "controller" / "south" / "test_sessions.py", "process_sessions")
orders = _load(UNIT / "controller" / "intent" / "conftest.py", "process_orders")
world = manager_world.world
device_schema = south.device_schema


class Wires(managed.Box):
    """A box's system that tells its connections: established while ``up`` and not ``broken``, answering pings while
    ``answers``."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.up = self.answers = True
        self.broken: set[str] = set()

    async def state(self, wanted: frozenset[str] | None = None) -> Any:
        running = self.applied[-1] if self.applied else {}
        entries = running.get("elasticlab-ipsec:ipsec", {}).get("conn-entry", [])
        told = [
            {"name": one["name"], "state": {"established": self.up and one["name"] not in self.broken}}
            for one in entries
        ]
        return await super().state() | {"elasticlab-ipsec:ipsec": {"conn-entry": told}}

    async def ping(self, call: RpcCall) -> Any:
        asked = {"sent": 1, "received": int(self.answers)}
        return asked | ({"rtt-min": "1.000", "rtt-avg": "1.500", "rtt-max": "2.000"} if self.answers else {})


class _Trust:
    """Boxes believe the controller by the service CA."""

    def __init__(self, ca: Path) -> None:
        self.ca = ca

    def issue(self, name: str, serial: str | None = None) -> dict[str, Path]:
        return {}


class Lab:
    """Manager, controller and boxes."""

    def __init__(self, manager: Any, schema: Schema, folder: Path) -> None:
        self.manager, self.schema, self.folder = manager, schema, folder
        self.boxes: dict[str, Any] = {}
        self.url = ""
        self.wan_port = self.ssh_port = self.tls_port = 0
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._clients: list[httpx.AsyncClient] = []
        self.visitors: dict[str, Any] = {}
        self._relays: list[Any] = []

    async def start(self) -> None:
        key = manager_world.ec.generate_private_key(manager_world.ec.SECP256R1())
        certificate = self.manager.service.issue(manager_world.name("controller"), key, server=True)
        manager_world.store(self.folder, "controller", certificate, key)
        (self.folder / "controller-data").mkdir(exist_ok=True)
        settings = Settings(
            data=self.folder / "controller-data",
            listen=["127.0.0.1"],
            port=0,
            certificate=self.folder / "controller.pem",
            key=self.folder / "controller.key",
            service_ca=self.folder / "service-ca.pem",
            issuer="https://127.0.0.1:8441",
            manager_url=self.manager.north,
            domain="elasticlab.example",
            wan_listen=["127.0.0.1"],
            wan_port=self.wan_port,
            ssh_port=0,
            tls_port=0,
            admin_keys=self.folder / "authorized_keys",
            yang=[YANG],
        )
        anybody, client = self.manager.client(self.manager.service), self.manager.operator("service:controller")
        self._clients = [anybody, client]
        up = asyncio.Event()

        def ready(controller: main.Controller, running: server.Server) -> None:
            self.controller = controller
            self.wan_port = controller.sessions.port
            self.url = f"https://127.0.0.1:{running.ports[0]}"
            up.set()

        self._stop = asyncio.Event()
        self._task = asyncio.create_task(main.run(settings, anybody, client, self._verify, ready, self._stop))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if self._task.done():
            await self._task

    async def ended(self) -> None:
        """The controller's process is over, by itself."""
        assert self._task is not None
        async with asyncio.timeout(20):
            await self._task

    async def stop(self) -> None:
        self._stop.set()
        assert self._task is not None
        await self._task
        for client in self._clients:
            await client.aclose()

    def close(self) -> None:
        for relay in self._relays:
            relay.close()

    async def _verify(self, token: str, certificate: bytes | None) -> tokens.Caller:
        """Tokens are tested in stackkit; here the token is the role, and a component's name."""
        role, _, name = token.partition(":")
        if role not in ("admin", "service", "tenant"):
            raise tokens.Unauthorized("no such token")
        return tokens.Caller(token, None, frozenset({role}), name or "test", frozenset())

    @property
    def clones(self) -> list[Any]:
        """What is in quarantine, as the next process would find it."""
        database = Database(self.folder / "controller-data" / "controller.sqlite", main.MIGRATIONS)
        try:
            return list(Quarantine(database).clones)
        finally:
            database.close()

    async def way(self, source: str) -> int:
        """A port from which calls come to the controller from this address."""
        relay = sessions.Relay(source)
        self._relays.append(relay)
        port: int = await relay.start(self.wan_port)
        return port

    async def box(self, name: str, port: int | None = None) -> Any:
        """A box that the manager has taken in; it calls the controller."""
        serial = BOXES[name]
        model = managed.MODELS[name]
        await self.manager.register(serial, name=name, model=model)
        visitor = self.visitors[name] = self.manager.visitor(serial)
        await visitor.join()
        device = self._device(name, self.folder)
        device.identity = {"cert": visitor.operational, "key": visitor.operational.with_suffix(".key")}
        device.system = Wires(model)
        device.rpcs["elasticlab-element:ping"] = device.system.ping
        await device.start()
        await device.stores.replace_running(managed.day0(name))
        device.call(port or self.wan_port)
        self.boxes[name] = device
        return device

    def _device(self, name: str, folder: Path) -> Any:
        return devices.Device(name, self.schema, _Trust(self.folder / "service-ca.pem"), folder)

    @contextlib.asynccontextmanager
    async def copy(self, name: str, port: int) -> AsyncIterator[None]:
        """Another one with a box's key calls until the end of the block."""
        folder = self.folder / "thief"
        folder.mkdir(exist_ok=True)
        thief = self._device(name, folder)
        thief.identity = self.boxes[name].identity
        await thief.start()
        thief.call(port)
        try:
            yield
        finally:
            await thief.power_cut()

    def client(self, token: str = "admin") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}", "accept": DATA}
        client: httpx.AsyncClient = self.manager.client(self.manager.service, base_url=self.url, headers=headers)
        return client

    async def get(self, path: str, token: str = "admin") -> httpx.Response:
        async with self.client(token) as client:
            return await client.get(f"/restconf/data/{path}")

    async def call(self, rpc: str, data: Any, token: str = "admin") -> httpx.Response:
        async with self.client(token) as client:
            body = json.dumps({"elasticlab-network:input": data})
            return await client.post(
                f"/restconf/operations/elasticlab-network:{rpc}", content=body, headers={"content-type": DATA}
            )

    async def order(self, tree: Any, token: str = "service:gro") -> httpx.Response:
        """The whole intent, as GRO may write it."""
        async with self.client(token) as client:
            return await client.put(
                "/restconf/data/ietf-l3vpn-svc:l3vpn-svc", content=json.dumps(tree), headers={"content-type": DATA}
            )

    async def cancel(self) -> None:
        async with self.client("service:gro") as client:
            answer = await client.delete("/restconf/data/ietf-l3vpn-svc:l3vpn-svc")
        assert answer.status_code == 204, answer.text

    @contextlib.asynccontextmanager
    async def told(self, notification: str) -> AsyncIterator[list[Any]]:
        """The notifications of this name in elasticlab-network that GRO is told meanwhile."""
        found: list[Any] = []
        listening = asyncio.Event()

        async def listen() -> None:
            url = "/restconf/streams/NETCONF-JSON"
            async with (
                self.client("service:gro") as client,
                client.stream("GET", url, headers={"accept": "text/event-stream"}, timeout=None) as stream,
            ):
                listening.set()
                async for line in stream.aiter_lines():
                    if notification in line:
                        event = json.loads(line.removeprefix("data:"))["ietf-restconf:notification"]
                        found.append(event[f"elasticlab-network:{notification}"])

        task = asyncio.create_task(listen())
        await listening.wait()
        yield found
        task.cancel()

    async def network(self) -> Any:
        answer = await self.get("elasticlab-network:network")
        assert answer.status_code == 200, answer.text
        return answer.json()["elasticlab-network:network"]

    async def sites(self) -> dict[str, Any]:
        return {one["site-id"]: one for one in (await self.network()).get("site", [])}

    async def states(self) -> dict[str, str]:
        return {name: one["state"] for name, one in (await self.sites()).items()}

    async def alarms(self) -> dict[tuple[str, str], Any]:
        answer = await self.get("ietf-alarms:alarms/alarm-list")
        found = answer.json()["ietf-alarms:alarm-list"].get("alarm", [])
        return {(one["alarm-type-id"].partition(":")[2], one["resource"]): one for one in found}

    async def until(self, condition: Callable[[], Any], seconds: float = 15) -> None:
        """Until an asynchronous condition holds."""
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - what is waited for is asked of a server
                await asyncio.sleep(0.05)

    async def until_states(self, **wanted: str) -> None:
        names = {name.replace("_", "-"): state for name, state in wanted.items()}

        async def there() -> bool:
            return await self.states() == names

        await self.until(there)


@pytest.fixture
async def lab(world: Any, device_schema: Schema, tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(world, device_schema, tmp_path)
    await made.start()
    yield made
    for box in made.boxes.values():
        await box.power_cut()
    await made.stop()
    made.close()


__all__ = ["device_schema", "lab", "world"]

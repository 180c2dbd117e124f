"""GRO with a real RESTCONF peer on a socket, which keeps what it is sent and says of its sites what a test wants."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from gro import catalogue, hub, store
from gro.api import Desk, create_app
from gro.fulfilment import KIND, Fulfilment, observe
from gro.restconf import Controller, Manager, Restconf
from stackkit import durable
from stackkit.database import Database
from stackkit.problems import Problem
from stackkit.tokens import Caller

OFFERS = Path(__file__).parents[3] / "models" / "offers"
ORDERING = "/tmf-api/serviceOrdering/v4"


@dataclass
class Network:
    """Controller and manager in one: instances of the service model by target, devices by serial."""

    intent: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    site_state: dict[str, str] = field(default_factory=dict)
    refuse: str | None = None
    down: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    patches: list[list[str]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/restconf/data", self.patch, methods=["PATCH"])
        app.add_api_route("/restconf/data/elasticlab-network:network/site", self.sites)
        app.add_api_route("/restconf/data/elasticlab-devices:devices/{device}", self.device)
        app.add_api_route("/restconf/operations/elasticlab-network:plan", self.plan, methods=["POST"])
        app.add_api_route("/listener", self.listen, methods=["POST"])
        return app

    async def patch(self, request: Request) -> Response:
        if self.down:
            return Response(status_code=503)
        if self.refuse:
            error = {"error-type": "application", "error-tag": "invalid-value", "error-message": self.refuse}
            return Response(json.dumps({"ietf-restconf:errors": {"error": [error]}}), 400)
        edits = (await request.json())["ietf-yang-patch:yang-patch"]["edit"]
        self.patches.append([edit["operation"] for edit in edits])
        for edit in edits:
            if edit["operation"] == "remove":
                self.intent.pop(edit["target"], None)
            else:
                self.intent[edit["target"]] = edit["value"]
        return Response(status_code=200, content='{"ietf-yang-patch:yang-patch-status":{"ok":[null]}}')

    async def sites(self) -> Response:
        names = [unquote(found[1]) for target in self.intent if (found := re.search(r"/site=(.*)", target))]
        found_sites = [{"site-id": name, "state": self.site_state.get(name, "up")} for name in names]
        return Response(json.dumps({"elasticlab-network:site": found_sites}), media_type="application/yang-data+json")

    async def device(self, device: str) -> Response:
        serial = unquote(device.removeprefix("device="))
        if serial not in self.devices:
            return Response(status_code=404)
        return Response(json.dumps({"elasticlab-devices:device": [{"serial": serial, **self.devices[serial]}]}))

    async def plan(self, request: Request) -> Response:
        content = await request.json()
        operation = content["elasticlab-network:input"]["operation"]
        edit = {"device": "ucpe-1", "operation": "create", "target": "/x", "config": "<x/>", "description": operation}
        return Response(json.dumps({"elasticlab-network:output": {"edit": [edit]}}))

    async def listen(self, request: Request) -> Response:
        self.events.append(await request.json())
        return Response(status_code=204)

    def plug_in(self, serial: str, owner: str = "acme", status: str = "managed") -> None:
        self.devices[serial] = {"name": f"ucpe-{serial.lower()}", "owner": owner, "status": status}


@dataclass
class Gro:
    desk: Desk
    network: Network
    url: str
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, body: Any = None, tenant: str | None = "acme") -> httpx.Response:
        headers = {"x-tenant": tenant or ""}
        return await self.client.request(method, path, json=body, headers=headers)

    async def order(self, *items: dict[str, Any], tenant: str = "acme") -> httpx.Response:
        return await self.call("POST", f"{ORDERING}/serviceOrder", {"serviceOrderItem": list(items)}, tenant)

    async def finished(self, answer: httpx.Response, tenant: str = "acme") -> dict[str, Any]:
        assert answer.status_code == 201, answer.text
        async with asyncio.timeout(20):
            await self.desk.engine.finished(answer.json()["id"])
        return (await self.call("GET", answer.json()["href"], tenant=tenant)).json()

    async def until(self, answer: httpx.Response, state: str, step: str = "", status: str = "") -> dict[str, Any]:
        """The order once it is in this state, its last step (if one is named) in this status."""
        async with asyncio.timeout(20):
            while True:
                found = (await self.call("GET", answer.json()["href"])).json()
                last = found.get("milestone", [{"name": "", "status": ""}])[-1]
                if found["state"] == state and step in ("", last["name"]) and status in ("", last["status"]):
                    return found
                await asyncio.sleep(0.01)


async def authenticate(request: Request) -> Caller:
    """Tokens are another kit's tests: here the caller is who the header says."""
    if "x-tenant" not in request.headers:
        raise Problem(401, "Unauthorized", "no token", headers={"WWW-Authenticate": "Bearer"})
    tenant = request.headers["x-tenant"] or None
    return Caller("sub", tenant, frozenset({"tenant" if tenant else "admin"}), "test", frozenset())


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task
    listener.close()


@pytest.fixture
async def gro(tmp_path: Path) -> AsyncIterator[Gro]:
    network = Network()
    for number in range(1, 5):
        network.plug_in(f"S{number}")
    async with serving(network.app()) as url, httpx.AsyncClient(trust_env=False) as southbound:
        database = Database(tmp_path / "gro.sqlite", store.MIGRATIONS)
        peer = Restconf(southbound, url, "controller")
        fulfilment = Fulfilment(database, Controller(peer), Manager(peer))
        engine = durable.Engine(database, {KIND: fulfilment.steps}, [observe], first_pause=0.01)
        courier = hub.Courier(database, southbound, allow_internal=True)
        desk = Desk(database, catalogue.load(OFFERS), engine, Controller(peer), Manager(peer), courier)
        transport = httpx.ASGITransport(create_app(desk, authenticate))
        async with httpx.AsyncClient(transport=transport, base_url="http://gro") as client:
            yield Gro(desk, network, url, client)
        await engine.stop()
        database.close()

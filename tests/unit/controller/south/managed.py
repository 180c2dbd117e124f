"""A controller, all of it but its listeners in the north, and devices that call home to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from controller.intent import MIGRATION as NUMBERS
from controller.intent import AllocationStore, read
from controller.northbound.backend import IntentBackend
from controller.southbound import attached, inventory, journal, quarantine
from controller.southbound.executor import Executor
from controller.southbound.reconcile import Reconciler
from controller.southbound.revocation import Revocation
from controller.southbound.sessions import Sessions
from cryptography import x509
from stackkit.database import Database
from yangkit import Datastores, Schema

from tests.unit.controller.intent import conftest as orders
from tests.unit.controller.south import devices as south

NAMES = ("ucpe-1", "ucpe-2", "vmsr-1")
MODELS = {"ucpe-1": "ucpe-100", "ucpe-2": "ucpe-100", "vmsr-1": "vmsr-x86"}
ADDRESS = {"ucpe-1": "192.168.1.10", "ucpe-2": "192.0.2.6", "vmsr-1": "203.0.113.2"}
GATEWAY = {"ucpe-1": "192.168.1.1", "ucpe-2": "192.0.2.5", "vmsr-1": "203.0.113.1"}


class Box(south.System):
    """A device's system: it says what it is."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model
        self.wan: Any = None
        """What it tells of its WAN."""
        self.talks = asyncio.Event()
        self.talks.set()

    async def state(self, wanted: frozenset[str] | None = None) -> Any:
        await self.talks.wait()
        component = {"name": "box", "class": "iana-hardware:chassis", "model-name": self.model}
        tree: Any = {"ietf-hardware:hardware": {"component": [component]}}
        if self.wan is not None:
            tree["ietf-interfaces:interfaces"] = {"interface": [{"name": "wan"} | self.wan]}
        return tree


def day0(name: str) -> Any:
    wan = {
        "name": "wan",
        "type": "iana-if-type:ethernetCsmacd",
        "ietf-ip:ipv4": {"address": [{"ip": ADDRESS[name], "prefix-length": 24}]},
    }
    route = {"destination-prefix": "0.0.0.0/0", "next-hop": {"next-hop-address": GATEWAY[name]}}
    underlay = {
        "type": "ietf-routing:static",
        "name": "underlay",
        "static-routes": {"ietf-ipv4-unicast-routing:ipv4": {"route": [route]}},
    }
    return {
        "ietf-interfaces:interfaces": {"interface": [wan]},
        "ietf-routing:routing": {"control-plane-protocols": {"control-plane-protocol": [underlay]}},
    }


async def _anybody(identity: Any) -> None:
    """Every device is registered."""


class Controller:
    """Everything of the controller but its listeners in the north, on one directory."""

    def __init__(self, directory: Path, authority: Any, schema: Schema) -> None:
        self.directory, self.authority, self.schema, self.port = directory, authority, schema, 0
        self.on_step: Any = None

    async def start(self) -> None:
        migrations = [journal.MIGRATION, quarantine.MIGRATION, NUMBERS, inventory.MIGRATION, attached.MIGRATION]
        migrations += [inventory.MIGRATION_IPV6, inventory.MIGRATION_CALLS]
        self.database = Database(self.directory / "controller.sqlite", migrations)
        revocation = Revocation(
            x509.load_pem_x509_certificate(self.authority.ca.read_bytes()), self.directory / "crl.der"
        )
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=self.authority.crl()))
        async with httpx.AsyncClient(transport=transport) as http:
            await revocation.fetch(http, "https://manager.test/crl")
        self.sessions = Sessions(
            revocation, quarantine.Quarantine(self.database), known=_anybody, alarm=lambda *_: None
        )
        notes, known = journal.Journal(self.database), inventory.Inventory(self.database)
        self.inventory = known
        backend = IntentBackend(known, AllocationStore(self.database))
        self.reconciler = Reconciler(
            self.sessions,
            Executor(notes, self.sessions.session, on_step=self.on_step),
            notes,
            known,
            attached.Attached(self.database),
            backend.number,
            (south.YANG,),
            poll=0.3,
        )
        self.stores = Datastores(self.schema, backend, self.directory / "startup.xml", check=backend.check)
        self.stores.change_listeners.append(lambda _: self.follow())
        await self.stores.start()
        self.follow()
        self.loop = asyncio.create_task(self.reconciler.run())
        keys = self.authority.issue("controller")
        self.port = await self.sessions.listen("127.0.0.1", self.port, **keys, ca=self.authority.ca)

    def follow(self) -> None:
        self.reconciler.follow(read(self.stores.running))

    async def stop(self) -> None:
        self.loop.cancel()
        await asyncio.gather(self.loop, return_exceptions=True)
        await self.sessions.close()
        await self.stores.close()
        self.database.close()

    def synced(self, *names: str) -> bool:
        status = self.reconciler.status
        return all(name in status and status[name].sync == "in-sync" for name in names)


def calls(devices: dict[str, Any], controller: Controller, *names: str) -> None:
    for name in names:
        devices[name].call(controller.port)


async def until(condition: Any) -> None:
    await south.until(condition, 20)


def two_on_a_box(*, second: bool) -> Any:
    """A bridged site on box 2, another beside it or not, and one far away."""
    sites = [
        orders.site("far", "ucpe-1", "10.1.0.1/24", "between"),
        orders.site("first", "ucpe-2", "10.2.0.1/24", "between", mode="bridged", vlan=20),
        orders.site("second", "ucpe-2", "10.3.0.1/24", "between", mode="bridged", vlan=30),
    ]
    return orders.order([orders.vpn("between")], sites if second else sites[:2])

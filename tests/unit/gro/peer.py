"""Whom GRO speaks to: real RESTCONF servers (yangkit) of the controller's and the manager's YANG modules.

What stands behind the controller's is a network that does as a test wants it and tells every change as an event.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.intent import MODULES, read
from yangkit import ApplyError, Datastores, Module, NetconfServer, RpcCall, Schema, Tree
from yangkit.restconf import RestconfApp
from yangkit.restconf.messages import Scope

YANG = Path(__file__).parents[3] / "models" / "yang"
SITES = "ietf-l3vpn-svc:l3vpn-svc"
REGISTRY = "elasticlab-devices:devices"
GRO = "service:gro"


async def _gro(_: Scope) -> str:
    return GRO


class _Server:
    """A RESTCONF server that can be away."""

    def __init__(self, folder: Path, modules: list[Module], rpcs: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stores = Datastores(Schema([YANG], modules), self, folder / "startup.xml")
        self.server = NetconfServer(self.stores, rpcs=rpcs, recovery_users=(GRO,))
        self.app = RestconfApp(self.server, authenticate=self.authenticate)
        self.authenticate_with = _gro
        self.down = False
        self.requests: list[str] = []

    async def authenticate(self, scope: Scope) -> str:
        return await self.authenticate_with(scope)

    async def apply(self, old: Tree, new: Tree) -> None:
        """Accept."""

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        return {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.requests.append(f"{scope['method']} {scope['path']}")
        if self.down:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)

    async def go(self, *, down: bool) -> None:
        """Away with all streams, or back."""
        self.down = down
        if down:
            await self.app.close()


class Controller(_Server):
    """Sites come up as soon as they are ordered, unless `states` says otherwise."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, list(MODULES), {"elasticlab-network:plan": self._plan})
        self.states: dict[str, str] = {}
        self.sites: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, dict[str, Any]] = {}
        #: By VPN; each is in `cloud_state` from its order on.
        self.clouds: dict[str, dict[str, Any]] = {}
        self.cloud_state = "up"
        self.notes: list[dict[str, str]] = []
        #: What it says to an intent in which there is this text.
        self.refusal: str | None = None
        self.refused = ""
        #: Sites whose devices take their time with every change.
        self.slow: set[str] = set()
        self.plans: list[Tree] = []
        self.changes = 0
        self.changed = asyncio.Condition()
        self.stores.change_listeners.append(lambda _: self._follow())

    async def apply(self, old: Tree, new: Tree) -> None:
        """The controller's own check of intent (RFC 8299)."""
        if self.refusal is not None and self.refused in str(new):
            raise ApplyError(self.refusal, f"/{SITES}", "invalid-value")
        self.applied = new
        read(new)

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        network: Tree = {"healthy": True}
        if self.sites:
            network["site"] = list(self.sites.values())
        if self.clouds:
            network["cloud"] = list(self.clouds.values())
        if self.devices:
            network["device"] = [{"name": name, **device} for name, device in self.devices.items()]
        return {"elasticlab-network:network": network}

    @property
    def intent(self) -> Tree:
        return self.stores.running.get(SITES, {})

    @property
    def ordered(self) -> dict[str, set[str]]:
        """Ids of what the intent holds."""
        vpns = self.intent.get("vpn-services", {}).get("vpn-service", [])
        sites = self.intent.get("sites", {}).get("site", [])
        return {"vpns": {one["vpn-id"] for one in vpns}, "sites": {one["site-id"] for one in sites}}

    def _follow(self) -> None:
        self.changes += 1
        asyncio.get_running_loop().create_task(self._tell())
        wanted = self.ordered["sites"]
        for id_ in wanted - self.sites.keys():
            self.site(id_, self.states.get(id_, "up"))
        for id_ in wanted & self.slow:
            self.site(id_, "down", "its tunnel is cut", in_sync=False)
        for id_ in wanted - self.slow:
            if not self.sites[id_]["in-sync"]:
                self.site(id_, self.states.get(id_, "up"))
        for id_ in self.sites.keys() - wanted - self.slow:
            self.gone(id_)
        clouds = self._wanted_clouds()
        for vpn in clouds - self.clouds.keys():
            self.cloud(vpn, self.cloud_state)
        for vpn in self.clouds.keys() - clouds:
            if self.cloud_state in ("up", "failed"):  # what a POP refuses it never had
                self.cloud_gone(vpn)

    async def until(self, changes: int) -> None:
        """The intent has been changed so often."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: self.changes >= changes)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def site(
        self, id_: str, state: str, reason: str | None = None, *, in_sync: bool = True, refused_by: str | None = None
    ) -> None:
        """A site is in a state from now on."""
        why = {"reason": reason} if reason else {}
        why |= {"refused-by": refused_by} if refused_by else {}
        since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {"site-id": id_, "state": state, "in-sync": in_sync, "since": since, "round-trip-time": "1.5"}
        self.sites[id_] = {**told, **why}
        self._publish("elasticlab-network:site-state-changed", {**told, **why})

    def _wanted_clouds(self) -> set[str]:
        vpns = self.intent.get("vpn-services", {}).get("vpn-service", [])
        accesses = {one["vpn-id"]: one.get("cloud-accesses", {}).get("cloud-access", []) for one in vpns}
        return {vpn for vpn, found in accesses.items() if any(one["cloud-identifier"] == "vpc" for one in found)}

    def cloud(self, vpn: str, state: str, reason: str | None = None) -> None:
        """A cloud is in a state from now on."""
        told = {"vpn-id": vpn, "cloud-identifier": "vpc", "state": state, **({"reason": reason} if reason else {})}
        self.clouds[vpn] = {**told, "in-sync": True}
        self._publish("elasticlab-network:cloud-state-changed", told)

    def cloud_gone(self, vpn: str) -> None:
        del self.clouds[vpn]
        content = {"vpn-id": vpn, "cloud-identifier": "vpc", "state": "removing"}
        self._publish("elasticlab-network:cloud-state-changed", content)

    def gone(self, id_: str) -> None:
        del self.sites[id_]
        content = {"site-id": id_, "state": "removing", "reason": "gone from every device", "gone": [None]}
        self._publish("elasticlab-network:site-state-changed", content)

    def device(self, name: str, *, connected: bool) -> None:
        self._device(name, connected=connected, sync="in-sync" if connected else "unreachable")

    def refuses(self, name: str) -> None:
        """A device does not take its configuration."""
        self._device(name, connected=True, sync="failed")

    def _device(self, name: str, **state: Any) -> None:
        self.devices[name] = state
        self._publish("elasticlab-network:device-state-changed", {"name": name, **state})

    def _publish(self, name: str, content: dict[str, Any]) -> None:
        self.server.notifications.publish(name, content)

    async def _plan(self, call: RpcCall) -> Tree:
        self.plans.append(call.input)
        edit = {"device": "ucpe-s1", "target": "/x", "operation": "create", "config": "<x/>", "description": "an edit"}
        return {"edit": [edit], **({"note": self.notes} if self.notes else {})}


class Manager(_Server):
    """The registry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, [Module("ietf-alarms"), Module("elasticlab-devices")])
        self.status: dict[str, str] = {}

    async def state(self, wanted: frozenset[str] | None = None) -> Tree:
        entries = [{"serial": serial, "status": status} for serial, status in self.status.items()]
        return {REGISTRY: {"device": entries}} if entries else {}

    async def register(self, serial: str, name: str, owner: str, status: str = "managed") -> None:
        others = [one for one in self.stores.running.get(REGISTRY, {}).get("device", []) if one["serial"] != serial]
        device = {"serial": serial, "name": name, "model": "ucpe", "owner": owner, "administrative-state": "legal"}
        await self.stores.replace_running({**self.stores.running, REGISTRY: {"device": [*others, device]}})
        self.status[serial] = status

    async def clear(self) -> None:
        await self.stores.replace_running({})
        self.status.clear()


class Network:
    """Both of them, and the boxes that come and go."""

    def __init__(self, folder: Path) -> None:
        self.controller, self.manager = Controller(folder / "controller"), Manager(folder / "manager")

    async def start(self) -> None:
        await self.controller.stores.start()
        await self.manager.stores.start()

    async def close(self) -> None:
        for one in (self.controller, self.manager):
            await one.app.close()
            await one.stores.close()

    async def plug_in(self, serial: str, owner: str = "acme", status: str = "managed") -> None:
        """Registered, bootstrapped, and connected to the controller."""
        name = f"ucpe-{serial.lower()}"
        await self.manager.register(serial, name, owner, status)
        self.controller.device(name, connected=True)

    async def unplug_all(self) -> None:
        await self.manager.clear()
        for name in self.controller.devices:
            self.controller.device(name, connected=False)

"""Devices follow the intent: real NETCONF servers call home, and get, keep and lose what is ordered."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from controller import drivers
from controller.intent import MIGRATION as NUMBERS
from controller.intent import MODULES, AllocationStore, read
from controller.northbound.backend import IntentBackend
from controller.southbound import attached, inventory, journal, quarantine
from controller.southbound.executor import Executor
from controller.southbound.reconcile import Reconciler
from controller.southbound.revocation import Revocation
from controller.southbound.sessions import Sessions
from cryptography import x509
from stackkit.database import Database
from yangkit import Datastores, Module, Schema
from yangkit.errors import RpcError

HERE = Path(__file__).parent
YANG = HERE.parents[3] / "models" / "yang"
NAMES = ("ucpe-1", "ucpe-2", "vmsr-1")
MODELS = {"ucpe-1": "ucpe-100", "ucpe-2": "ucpe-100", "vmsr-1": "vmsr-x86"}
ADDRESS = {"ucpe-1": "192.168.1.10", "ucpe-2": "192.0.2.6", "vmsr-1": "203.0.113.2"}
GATEWAY = {"ucpe-1": "192.168.1.1", "ucpe-2": "192.0.2.5", "vmsr-1": "203.0.113.1"}


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("reconcile_" + path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


south = _load(HERE / "conftest.py")
orders = _load(HERE.parent / "intent" / "conftest.py")


class Box(south.System):
    """A device's system: it says what it is."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = model
        self.lease: Any = None
        self.talks = asyncio.Event()
        self.talks.set()

    async def state(self, wanted: frozenset[str] | None = None) -> Any:
        await self.talks.wait()
        component = {"name": "box", "class": "iana-hardware:chassis", "model-name": self.model}
        tree: Any = {"ietf-hardware:hardware": {"component": [component]}}
        if self.lease is not None:
            wan = {"name": "wan", "elasticlab-interface:dhcp": {"lease": self.lease}}
            tree["ietf-interfaces:interfaces"] = {"interface": [wan]}
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


@pytest.fixture(scope="session")
def device_schema() -> Schema:
    modules = {module.name: module for driver in drivers.every() for module in driver.modules}
    extra = [Module("ietf-hardware"), Module("iana-hardware"), Module("elasticlab-element")]
    return Schema([YANG], [*modules.values(), *extra])


@pytest.fixture(scope="session")
def service_schema() -> Schema:
    return Schema([YANG], MODULES)


async def anybody(identity: Any) -> None:
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
        self.sessions = Sessions(revocation, quarantine.Quarantine(self.database), known=anybody, alarm=lambda *_: None)
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
            (YANG,),
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


@pytest.fixture
async def devices(device_schema: Schema, authority: Any, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    authority.revoked.clear()
    made = {name: south.Device(name, device_schema, authority, tmp_path) for name in NAMES}
    for name, device in made.items():
        device.system = Box(MODELS[name])
        await device.start()
        await device.stores.replace_running(day0(name))
    yield made
    for device in made.values():
        device.system.talks.set()
        await device.power_cut()


@pytest.fixture
async def controller(authority: Any, service_schema: Schema, tmp_path: Path) -> AsyncIterator[Controller]:
    made = Controller(tmp_path, authority, service_schema)
    await made.start()
    yield made
    await made.stop()


def calls(devices: dict[str, Any], controller: Controller, *names: str) -> None:
    for name in names:
        devices[name].call(controller.port)


async def until(condition: Any) -> None:
    await south.until(condition, 20)


async def test_ordered_and_taken_back(controller: Controller, devices: dict[str, Any]) -> None:
    """All devices get their part; when nothing is ordered any more each is as it came."""
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-ucpe-1" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
    assert {"wan", "overlay", "gre-vmsr-1", "ipsec-vmsr-1"} <= devices["ucpe-1"].interfaces
    assert {"wan", "vxlan-1020", "gre-ucpe-1"} <= devices["vmsr-1"].interfaces
    assert "vxlan-1020" in devices["ucpe-2"].interfaces
    assert not any(device.pending for device in devices.values())
    await controller.stores.replace_running({})
    await until(lambda: all(device.interfaces == {"wan"} for device in devices.values()))
    await until(lambda: controller.synced(*NAMES))
    for name in NAMES:
        assert devices[name].stores.running == day0(name)


async def test_a_device_that_asks_for_its_address_is_known_by_its_lease(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """A POP router, too: its sites' tunnels follow when it is given another address."""
    pop = devices["vmsr-1"]
    pop.system.lease = {"address": "203.0.113.2", "prefix-length": 30, "router": "203.0.113.1"}
    wan = {"name": "wan", "type": "iana-if-type:ethernetCsmacd", "elasticlab-interface:dhcp": {}}
    await pop.stores.replace_running({"ietf-interfaces:interfaces": {"interface": [wan]}})
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "vxlan-1020" in pop.interfaces and controller.synced(*NAMES))
    assert "'address': '203.0.113.2'" in str(devices["ucpe-1"].stores.running["elasticlab-ipsec:ipsec"])
    pop.system.lease["address"] = "203.0.113.77"
    await until(lambda: "203.0.113.77" in str(devices["ucpe-1"].stores.running["elasticlab-ipsec:ipsec"]))


async def test_who_comes_later_is_brought_up_to_date(controller: Controller, devices: dict[str, Any]) -> None:
    """Over a restart of the controller, too."""
    await controller.stores.replace_running(orders.demo_order())
    calls(devices, controller, "vmsr-1", "ucpe-1")
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces)
    assert "vxlan-1020" not in devices["vmsr-1"].interfaces
    await controller.stop()
    await controller.start()
    calls(devices, controller, "ucpe-2")
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and "vxlan-1020" in devices["ucpe-2"].interfaces)


async def test_what_others_change_is_put_back_and_theirs_is_left(
    controller: Controller, devices: dict[str, Any]
) -> None:
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces and controller.synced(*NAMES))
    seen: list[tuple[str, str]] = []
    controller.reconciler.on_change.append(lambda name, status: seen.append((name, status.sync)))
    tree = devices["ucpe-1"].stores.running
    entries = tree["ietf-interfaces:interfaces"]["interface"]
    next(one for one in entries if one["name"] == "overlay")["description"] = "mine"
    entries.append({"name": "lan7", "type": "iana-if-type:ethernetCsmacd"})
    await devices["ucpe-1"].stores.replace_running(tree)
    await until(lambda: seen[-1:] == [("ucpe-1", "in-sync")])
    assert ("ucpe-1", "drifted") in seen
    assert "mine" not in str(devices["ucpe-1"].stores.running)
    assert "lan7" in devices["ucpe-1"].interfaces


async def test_who_tells_the_same_again_is_looked_at_when_it_does_not(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """What a device has told is not read again while it tells the same; what somebody changes then is seen."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: controller.synced(*NAMES) and "lan" in devices["ucpe-1"].interfaces)

    def settled() -> bool:
        status = controller.reconciler.status["ucpe-1"]
        return status.seen is not None and status.seen[3] is status.written is status.has

    await until(settled)
    compared = controller.reconciler.status["ucpe-1"].compared
    await until(lambda: controller.reconciler.status["ucpe-1"].compared > compared)
    tree = devices["ucpe-1"].stores.running
    for interface in tree["ietf-interfaces:interfaces"]["interface"]:
        if interface["name"] == "lan":
            interface["enabled"] = False
    await devices["ucpe-1"].stores.replace_running(tree)
    await until(lambda: "'enabled': False" not in str(devices["ucpe-1"].stores.running) and controller.synced(*NAMES))


async def test_a_box_without_a_driver_is_taken_in_and_left_alone(
    controller: Controller, devices: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway that the cloud platform configures: no edit, no complaint, and nobody waits for it."""
    gateway = devices["ucpe-2"]
    gateway.system.model = "vpcgw-x86"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced("ucpe-1", "vmsr-1"))
    await until(lambda: controller.reconciler.status["ucpe-2"].sync == "unmanaged")
    before = gateway.stores.running
    with pytest.raises(RpcError, match="no driver for model 'vpcgw-x86'"):
        await controller.stores.replace_running(orders.demo_order())
    assert controller.reconciler.status["ucpe-2"].problem is None
    assert gateway.stores.running == before
    assert "ucpe-2: " not in caplog.text


async def test_one_that_refuses_does_not_hold_up_the_others(controller: Controller, devices: dict[str, Any]) -> None:
    devices["ucpe-2"].system.refuse = "no memory"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces)
    await until(lambda: controller.reconciler.status["ucpe-2"].sync == "failed")
    assert "no memory" in (controller.reconciler.status["ucpe-2"].problem or "")
    devices["ucpe-2"].system.refuse = None
    await until(lambda: controller.synced(*NAMES) and "vxlan-1020" in devices["ucpe-2"].interfaces)


async def test_one_that_is_silent_does_not_hold_up_the_others(controller: Controller, devices: dict[str, Any]) -> None:
    """Its machine lives, and says so to TCP: it would be waited for for minutes."""
    devices["ucpe-2"].system.talks.clear()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced("ucpe-1", "vmsr-1"))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: "gre-vmsr-1" in devices["ucpe-1"].interfaces and controller.synced("ucpe-1", "vmsr-1"))
    # Its own site is on neither of its devices.
    assert "vxlan-1020" not in devices["vmsr-1"].interfaces
    devices["ucpe-2"].system.talks.set()
    await until(lambda: controller.synced(*NAMES) and "vxlan-1020" in devices["ucpe-2"].interfaces)
    assert "vxlan-1020" in devices["vmsr-1"].interfaces
    # One that was met before, too.
    devices["ucpe-2"].system.talks.clear()
    await until(lambda: "ucpe-2" in controller.reconciler.slow)
    await controller.stores.replace_running({})
    await until(lambda: devices["ucpe-1"].interfaces == {"wan"})
    devices["ucpe-2"].system.talks.set()
    await until(lambda: devices["ucpe-2"].interfaces == {"wan"})


def two_on_a_box(*, second: bool) -> Any:
    """A bridged site on box 2, another beside it or not, and one far away."""
    sites = [
        orders.site("far", "ucpe-1", "10.1.0.1/24", "between"),
        orders.site("first", "ucpe-2", "10.2.0.1/24", "between", mode="bridged", vlan=20),
        orders.site("second", "ucpe-2", "10.3.0.1/24", "between", mode="bridged", vlan=30),
    ]
    return orders.order([orders.vpn("between")], sites if second else sites[:2])


async def test_a_site_that_a_box_refuses_is_nothing_to_its_neighbour(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The neighbour stays as it is wanted, on both of its devices; so do sites of other boxes."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
    devices["ucpe-2"].system.refuse = "no memory"
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "second" in controller.reconciler.view.withheld)
    view = controller.reconciler.view
    assert (view.stale, dict(view.leaving)) == (frozenset(), {})
    assert "vxlan-1021" not in devices["vmsr-1"].interfaces
    devices["ucpe-2"].system.refuse = None
    await until(lambda: {"vxlan-1020", "vxlan-1021"} <= devices["ucpe-2"].interfaces and controller.synced(*NAMES))
    await until(lambda: not controller.reconciler.view.withheld and not controller.reconciler.view.stale)


async def test_a_site_that_the_pop_refuses_is_nothing_to_all_others(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The others are built, also at the same box; it hears why not, and is built when that is mended."""
    pop = devices["vmsr-1"]
    pop.system.taken = "vxlan-1020"
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: {"vxlan-1021", "gre-ucpe-1"} <= pop.interfaces and "vxlan-1021" in devices["ucpe-2"].interfaces)
    await until(lambda: controller.reconciler.view.refused["first"].times >= 2)
    (refused,) = controller.reconciler.view.refused.values()
    assert refused.device == "vmsr-1"
    assert "link vxlan-1020 is there already" in refused.reason
    assert not any("vxlan-1020" in device.interfaces for device in devices.values()), "a part of it stays"
    pop.system.taken = None
    await until(lambda: "vxlan-1020" in pop.interfaces and controller.synced(*NAMES))
    await until(lambda: not controller.reconciler.view.refused and not controller.reconciler.view.stale)


async def test_what_a_pop_refuses_of_many_is_nobodys_alone(controller: Controller, devices: dict[str, Any]) -> None:
    """Neither of two sites that have an interface together, nor one that was there before."""
    pop = devices["vmsr-1"]
    pop.system.taken = "overlay"
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))  # or whoever comes last is not among the many
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "vmsr-1" in controller.reconciler.status)
    await until(lambda: controller.reconciler.status["vmsr-1"].sync == "failed")
    assert not controller.reconciler.view.refused
    pop.system.taken = None
    await until(lambda: controller.synced(*NAMES) and "vxlan-1021" in pop.interfaces)


async def test_a_refused_site_that_is_wanted_no_more_is_forgotten(
    controller: Controller, devices: dict[str, Any]
) -> None:
    devices["vmsr-1"].system.taken = "vxlan-1021"
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "second" in controller.reconciler.view.refused)
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: controller.reconciler.carried == {"far", "first"} and controller.synced(*NAMES))
    assert not controller.reconciler.view.refused


async def test_a_site_leaves_its_neighbour_on_the_box(controller: Controller, devices: dict[str, Any]) -> None:
    """And is gone only when the box has given it up."""
    calls(devices, controller, *NAMES)
    await controller.stores.replace_running(two_on_a_box(second=True))
    await until(lambda: "vxlan-1021" in devices["ucpe-2"].interfaces and controller.synced(*NAMES))
    devices["ucpe-2"].system.refuse = "not now"
    await controller.stores.replace_running(two_on_a_box(second=False))
    await until(lambda: controller.reconciler.view.leaving.get("second") == "ucpe-2")
    assert not controller.reconciler.view.lacking("first")
    assert "second" in controller.reconciler.carried
    devices["ucpe-2"].system.refuse = None
    await until(lambda: controller.reconciler.carried == {"far", "first"})
    assert devices["ucpe-2"].interfaces == {"wan", "overlay", "ipsec-vmsr-1", "br-lan", "lan", "vxlan-1020"}
    assert {"vxlan-1020"} == {name for name in devices["vmsr-1"].interfaces if name.startswith("vxlan-")}


async def test_a_commit_that_cuts_a_device_off_is_taken_back(controller: Controller, devices: dict[str, Any]) -> None:
    """On the others at once; that device goes back by itself (RFC 6241, section 8.4)."""
    steps: list[tuple[str, str]] = []

    def cut(step: str, device: str) -> None:
        steps.append((step, device))
        if steps.count(("commit", "ucpe-1")) == 1:
            stopping.append(asyncio.ensure_future(devices["ucpe-1"].home.stop()))
            controller.sessions.dismiss("ucpe-1")

    stopping: list[Any] = []
    await controller.stop()
    controller.on_step = cut
    await controller.start()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(orders.demo_order())
    await until(lambda: ("revert", "vmsr-1") in steps)
    # Branch 2 is built without it, branch 1 on neither of its devices.
    await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces)
    assert "gre-ucpe-1" not in devices["vmsr-1"].interfaces
    await asyncio.gather(*stopping)


FIRST, SECOND = "the-first-of-two-shared-keys", "the-second-of-two-shared-keys"


def with_key(key: str) -> Any:
    """The demo, and a cloud with this shared key."""
    tree = orders.demo_order()
    gateway = {
        "address": "198.51.100.9",
        "identity": "gateway.cloud.example",
        "remote-prefix": ["172.16.0.0/16"],
        "shared-key": key,
    }
    root = tree["ietf-l3vpn-svc:l3vpn-svc"]
    access = {"cloud-identifier": "vpc", "elasticlab-access:gateway": gateway}
    root["vpn-services"]["vpn-service"][2]["cloud-accesses"] = {"cloud-access": [access]}
    root["vpn-profiles"]["valid-provider-identifiers"]["cloud-identifier"].append({"id": "vpc"})
    return tree


def keys_of(device: Any) -> list[str]:
    """The shared keys that a device has."""
    pad = device.stores.running.get("elasticlab-ipsec:ipsec", {}).get("pad", {}).get("pad-entry", [])
    return [entry["pre-shared"]["secret"] for entry in pad if "pre-shared" in entry]


async def test_a_key_that_was_written_on_the_way_is_known_not_to_be_the_old_one(
    controller: Controller, devices: dict[str, Any]
) -> None:
    """The session breaks between the decision and the confirm, and the new key is taken back meanwhile."""
    stopping: list[Any] = []

    def cut(step: str, device: str) -> None:
        if armed and step == "decided" and not stopping:
            stopping.append(asyncio.ensure_future(devices["vmsr-1"].home.stop()))
            controller.sessions.dismiss("vmsr-1")

    armed = False
    await controller.stop()
    controller.on_step = cut
    await controller.start()
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    await controller.stores.replace_running(with_key(FIRST))
    await until(lambda: keys_of(devices["vmsr-1"]) == [FIRST] and controller.synced(*NAMES))
    armed = True
    await controller.stores.replace_running(with_key(SECOND))
    status = controller.reconciler.status
    await until(lambda: stopping and status["vmsr-1"].problem is not None and not status["vmsr-1"].connected)
    assert keys_of(devices["vmsr-1"]) == [SECOND]
    await controller.stores.replace_running(with_key(FIRST))
    await asyncio.gather(*stopping)
    calls(devices, controller, "vmsr-1")
    await until(lambda: controller.synced("vmsr-1"))
    assert keys_of(devices["vmsr-1"]) == [FIRST]


async def test_what_cannot_be_is_refused_and_nothing_follows(controller: Controller, devices: dict[str, Any]) -> None:
    calls(devices, controller, *NAMES)
    await until(lambda: controller.synced(*NAMES))
    text = str(orders.demo_order()).replace("'ucpe-2'", "'vmsr-1'")
    with pytest.raises(RpcError, match="serves no site"):
        await controller.stores.replace_running(ast.literal_eval(text))
    assert controller.stores.running == {}
    assert all(device.interfaces == {"wan"} for device in devices.values())


@pytest.mark.parametrize("die", ["prepare", "commit", "decided", "confirm"])
async def test_killed_on_the_way(
    authority: Any, service_schema: Schema, devices: dict[str, Any], tmp_path: Path, die: str
) -> None:
    """What was acknowledged arrives in the controller's next life; what it wrote in its first it can still take off."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "crl.in").write_bytes(authority.crl())
    settings = {
        "directory": str(tmp_path),
        "port": port,
        "ca": str(authority.ca),
        "crl": str(tmp_path / "crl.in"),
        "die": die,
        "order": orders.demo_order(),
        **{kind: str(path) for kind, path in authority.issue("controller").items()},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    for device in devices.values():
        device.call(port)
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "reconcile_child.py"), str(tmp_path / "settings.json")
    )
    async with asyncio.timeout(30):
        assert await child.wait() == -signal.SIGKILL
    controller = Controller(tmp_path, authority, service_schema)
    controller.port = port
    await controller.start()
    try:
        await until(lambda: "vxlan-1020" in devices["vmsr-1"].interfaces and controller.synced(*NAMES))
        assert "vxlan-1020" in devices["ucpe-2"].interfaces
        assert not any(device.pending for device in devices.values())
        await controller.stores.replace_running({})
        await until(lambda: all(device.interfaces == {"wan"} for device in devices.values()))
    finally:
        await controller.stop()


async def test_a_device_tells_its_addresses_of_both_families(controller: Controller, devices: dict[str, Any]) -> None:
    """The link-local one is nobody's to call."""
    tree = day0("vmsr-1")
    wan = tree["ietf-interfaces:interfaces"]["interface"][0]
    wan["ietf-ip:ipv6"] = {
        "address": [{"ip": "fe80::1", "prefix-length": 64}, {"ip": "2001:db8:1::2", "prefix-length": 64}]
    }
    (underlay,) = tree["ietf-routing:routing"]["control-plane-protocols"]["control-plane-protocol"]
    route = {"destination-prefix": "::/0", "next-hop": {"next-hop-address": "2001:db8:1::1"}}
    underlay["static-routes"]["ietf-ipv6-unicast-routing:ipv6"] = {"route": [route]}
    await devices["vmsr-1"].stores.replace_running(tree)
    calls(devices, controller, "vmsr-1")
    await until(lambda: "vmsr-1" in controller.inventory.facts)
    facts = controller.inventory.facts["vmsr-1"]
    assert (facts.wan6_address, facts.wan6_gateway) == ("2001:db8:1::2", "2001:db8:1::1")
    await controller.stop()
    await controller.start()
    assert controller.inventory.facts["vmsr-1"] == facts

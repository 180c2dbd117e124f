"""What a topology brings for its orchestrator, and what is waited for until it says that all is well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.factory import Factory
from harness.orchestrator import OrchestratorError, ordering, plug, registry
from harness.orchestrator.client import Orchestrator
from harness.orchestrator.orderfile import OrderFile, OrderFileError
from harness.orchestrator.plug import Wiring
from harness.orchestrator.registry import Device
from harness.topology import Topology, load
from harness.wait import Deadline, DeadlineError

from .conftest import Server

BOX = """
    {name}:
      image: elasticlab/element:latest
      labels: {{elasticlab.role: {role}, elasticlab.model: m, elasticlab.serial: {serial}}}"""
BOXES = [("vmsr-1", "vmsr", "EL-V1"), ("ucpe-1", "ucpe", "EL-U1"), ("ucpe-2", "ucpe", "EL-U2")]
DEVICES = (Device("EL-V1", "vmsr-1", "m"), Device("EL-U1", "ucpe-1", "m", "acme"))


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    boxes = "".join(BOX.format(name=name, role=role, serial=serial) for name, role, serial in BOXES)
    text = f"name: x\ntopology:\n  defaults: {{kind: linux}}\n  nodes:{boxes}\n"
    (tmp_path / "x.clab.yml").write_text(text + "    a: {image: elasticlab/endpoint:latest}\n")
    return load(tmp_path / "x.clab.yml")


@pytest.fixture
def made(tmp_path: Path, topology: Topology) -> Factory:
    factory = Factory.open(tmp_path / "factory")
    for name, role, serial in BOXES:
        factory.box(name, role, "m", serial)
    return factory


def put_order(topology: Topology, name: str, tenant: str, serial: str) -> None:
    site = {"name": "s", "device": serial, "access": "routed", "gateway": "10.0.0.1/24"}
    service = {"serviceCharacteristic": [{"name": "site", "value": site}]}
    folder = topology.directory / "orders"
    folder.mkdir(exist_ok=True)
    order = {"serviceOrderItem": [{"id": "1", "action": "add", "service": service}]}
    (folder / name).write_text(json.dumps({"tenant": tenant, "order": order}))


class TestWiring:
    def test_a_device_is_whose_order_names_it_else_the_operators(self, topology: Topology, made: Factory) -> None:
        put_order(topology, "a.json", "acme", "EL-U1")
        put_order(topology, "b.json", "globex", "EL-U2")
        wanted = plug.wiring(topology, made)
        assert {device.name: device.owner for device in wanted.devices} == {
            "vmsr-1": "operator",
            "ucpe-1": "acme",
            "ucpe-2": "globex",
        }
        assert wanted.tenants == ["acme", "globex"]
        assert [login.user for login in plug.logins(made, wanted, "stack")] == ["admin", "acme", "globex"]

    def test_two_tenants_for_one_device_are_refused_with_both_files(self, topology: Topology, made: Factory) -> None:
        put_order(topology, "a.json", "acme", "EL-U1")
        put_order(topology, "b.json", "globex", "EL-U1")
        with pytest.raises(OrderFileError, match=r"b\.json:/tenant: device EL-U1 is acme's by a\.json"):
            plug.wiring(topology, made)

    def test_a_topology_without_orders_has_devices_all_the_same(self, topology: Topology, made: Factory) -> None:
        wanted = plug.wiring(topology, made)
        assert (len(wanted.devices), wanted.orders, wanted.tenants) == (3, (), [])


class TestWaiting:
    CONTROLLER = "/restconf/data/elasticlab-network:network/device"
    WANTED = Wiring(DEVICES, ())

    def registered(self, **status: str) -> tuple[int, Any]:
        entries = [{"serial": serial, "status": status.get(serial[3:], "managed")} for serial in ("EL-V1", "EL-U1")]
        return 200, {"elasticlab-devices:devices": {"device": entries}}

    def held(self, *names: str) -> tuple[int, Any]:
        return 200, {"elasticlab-network:device": [{"name": name, "connected": True} for name in names]}

    def test_managed_is_what_both_manager_and_controller_say(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", registry.DEVICES] = [(503, {}), self.registered(U1="expected"), self.registered()]
        server.answers["GET", self.CONTROLLER] = [(404, {}), self.held("vmsr-1"), self.held("vmsr-1", "ucpe-1")]
        plug.wait_until_managed(far, self.WANTED, Deadline(10))

    def test_time_that_is_over_names_the_device_and_its_state(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", registry.DEVICES] = [self.registered(U1="bootstrapping")]
        with pytest.raises(DeadlineError, match="ucpe-1 is bootstrapping"):
            plug.wait_until_managed(far, self.WANTED, Deadline(0.3))

    def test_a_device_without_a_session_is_named(self, far: Orchestrator, server: Server) -> None:
        server.answers["GET", registry.DEVICES] = [self.registered()]
        server.answers["GET", self.CONTROLLER] = [self.held("vmsr-1")]
        with pytest.raises(DeadlineError, match="no session with ucpe-1"):
            plug.wait_until_managed(far, self.WANTED, Deadline(0.3))

    @pytest.mark.parametrize("status", ["quarantined", "revoked"])
    def test_a_device_that_will_never_come_is_not_waited_for(
        self, far: Orchestrator, server: Server, status: str
    ) -> None:
        server.answers["GET", registry.DEVICES] = [self.registered(U1=status)]
        with pytest.raises(OrchestratorError, match=f"ucpe-1 is {status}"):
            plug.wait_until_managed(far, self.WANTED, Deadline(30))

    def test_an_order_that_failed_ends_the_wait_with_its_reason(
        self, far: Orchestrator, server: Server, tmp_path: Path
    ) -> None:
        path = f"{ordering.ORDERING}/serviceOrder/7"
        server.answers["GET", f"{path}/events"] = [(200, b'event: state\ndata: {"state": "failed"}\n\n')]
        ended = {"state": "failed", "milestone": [{"name": "network", "message": "no POP"}]}
        server.answers["GET", path] = [(200, ended)]
        wanted = Wiring(DEVICES, (OrderFile(tmp_path / "a.json", "acme", {}),))
        with pytest.raises(OrchestratorError, match=r"a\.json: order 7 has ended: failed at network: no POP"):
            plug.wait_until_healthy(far, wanted, ["7"], Deadline(10))

    def test_a_site_that_is_not_up_is_named(self, far: Orchestrator, server: Server) -> None:
        site = {"tenant": "acme", "name": "branch-1", "state": "down", "reason": "no tunnel"}
        server.answers["GET", "/sites"] = [(200, [site])]
        with pytest.raises(DeadlineError, match=r"acme\.branch-1 is down \(no tunnel\)"):
            plug.wait_until_up(far, Deadline(0.3))

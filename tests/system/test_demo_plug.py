"""Devices come to their operator by themselves, over the WAN, and stay his (EV-04, EV-08, LAB-04)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography import x509

from harness import lab as labs
from harness.build.progress import Silent
from harness.lab import Lab
from harness.lab.timings import Timings
from harness.orchestrator import ordering, plug, registry
from harness.orchestrator.client import Orchestrator
from harness.wait import Deadline, wait_for

pytestmark = pytest.mark.topology("demo")

HOST_1, HOST_2 = "10.1.0.10", "10.2.0.10"
BOXES = {"vmsr-1": "EL-VMSR-0001", "ucpe-1": "EL-UCPE-0001", "ucpe-2": "EL-UCPE-0002"}
OUTSIDE = {"vmsr-1": "203.0.113.2", "ucpe-1": "192.0.2.2", "ucpe-2": "192.0.2.6"}
OWN = "/var/lib/element/identity/current"


@pytest.fixture
def far(lab: Lab) -> Orchestrator:
    return Orchestrator.of(lab)


def connected(far: Orchestrator) -> dict[str, str]:
    """Since when the controller has a session with each device that it has one with."""
    listed = far.call("controller", "GET", "/restconf/data/elasticlab-network:network/device").json()
    return {one["name"]: one["since"] for one in listed["elasticlab-network:device"] if one.get("connected")}


def certificate(lab: Lab, box: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(lab[box].exec("cat", f"{OWN}/netconf.pem").encode())


def test_every_box_is_managed_under_its_name_and_its_owner(far: Orchestrator) -> None:
    known = {one["name"]: one for one in registry.read_all(far).values()}
    assert {name: (one["serial"], one["status"], one["owner"]) for name, one in known.items()} == {
        "vmsr-1": (BOXES["vmsr-1"], "managed", "operator"),
        "ucpe-1": (BOXES["ucpe-1"], "managed", "acme"),
        "ucpe-2": (BOXES["ucpe-2"], "managed", "acme"),
    }
    assert set(connected(far)) == set(BOXES)


def test_no_box_was_taken_for_a_stranger(far: Orchestrator) -> None:
    answer = far.call("manager", "GET", "/restconf/data/ietf-alarms:alarms/alarm-list")
    listed = answer.json().get("ietf-alarms:alarm-list", {}).get("alarm", []) if answer.status == 200 else []
    assert [one for one in listed if "device" in one["alarm-type-id"]] == []


@pytest.mark.parametrize("box", BOXES)
def test_a_box_is_named_by_its_operator_and_not_by_its_maker(lab: Lab, box: str) -> None:
    assert set(json.loads(lab[box].exec("cat", "/factory/identity.json"))) == {"serial", "model", "personality"}
    own = certificate(lab, box)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{box}.elasticlab.example"]
    assert f"serialNumber={BOXES[box]}" in own.subject.rfc4514_string({x509.NameOID.SERIAL_NUMBER: "serialNumber"})
    assert lab[box].run("test", "-e", "/factory/operational").status == 1


def test_the_box_behind_the_nat_has_its_way_out_and_its_manager_by_dhcp(lab: Lab) -> None:
    day0 = lab["ucpe-1"].exec("cat", "/factory/day0.json")
    assert '"dhcp": true' in day0
    assert "203.0.113.6" not in day0
    assert "192.168.1.10/24" in lab["ucpe-1"].exec("ip", "-4", "-brief", "address", "show", "dev", "wan")


def test_another_up_registers_orders_and_changes_nothing(lab: Lab, far: Orchestrator) -> None:
    def known() -> list[Any]:
        orders = far.call("gro", "GET", f"{ordering.ORDERING}/serviceOrder").json()
        return [orders, {serial: one["status"] for serial, one in registry.read_all(far).items()}, connected(far)]

    before = known()
    labs.up(lab.topology, name=lab.name, progress=Silent(), timings=Timings()).close()
    assert known() == before


@pytest.mark.parametrize("box", BOXES)
def test_after_a_power_cycle_a_box_calls_its_controller_and_nobody_else(lab: Lab, far: Orchestrator, box: str) -> None:
    """It has what it is on its disk; only its DHCP lease it asks for again."""
    before, since = certificate(lab, box), connected(far)[box]
    at = registry.read(far, BOXES[box])
    # At the far end: a capture of the box's own port ends with its power.
    with lab.capture("stack:wan", f"tcp and host {OUTSIDE[box]}") as wan, lab.management_capture() as management:
        lab[box].power.cycle()
        wait_for(f"{box} to call home", lambda: connected(far).get(box, since) != since, 40)
    assert certificate(lab, box) == before
    after = registry.read(far, BOXES[box])
    assert at is not None
    assert after is not None
    assert (after["bootstrapped-at"], after["status"]) == (at["bootstrapped-at"], "managed")
    assert wan.count("tcp port 4335") > 0
    assert wan.count("tcp port 8572") == 0
    begun = f"tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn and src host {lab[box].management_address}"
    assert management.frames(begun) == [], "a box has no business on the management network"
    plug.wait_until_up(far, Deadline(60))
    lab["host-1"].must_reach(HOST_2, 30)
    lab["host-2"].must_reach(HOST_1, 30)


def test_the_network_goes_on_without_its_orchestrator_and_it_comes_back(lab: Lab, far: Orchestrator) -> None:
    lab["stack"].power.off()
    try:
        assert lab["host-1"].reaches(HOST_2)
        assert lab["host-2"].reaches("198.51.100.80")
    finally:
        lab["stack"].power.on()
    plug.wait_until_there(far, Deadline(60))
    plug.wait_until_managed(far, plug.wiring(lab.topology, lab.factory), Deadline(60))
    plug.wait_until_up(far, Deadline(60))
    assert lab["host-1"].reaches(HOST_2)

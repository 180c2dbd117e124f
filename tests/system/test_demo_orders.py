"""The life of an order: before it nothing passes, after it everything, and its end leaves nothing (EV-03)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lxml import etree

from harness.lab import Lab
from harness.orchestrator import ordering, plug, registry
from harness.orchestrator.registry import Device
from harness.wait import DeadlineError, time_scale, wait_for
from tests.system import test_demo_traffic as traffic
from tests.system.crashing import BOUNDARIES
from tests.system.lifecycle import Life, edits_by_device
from tests.system.traces import (
    BOXES,
    INTENT,
    NETWORK,
    Json,
    canonical,
    configurations,
    content,
    differences,
    leaves,
    step,
)

pytestmark = pytest.mark.topology("demo", orders=False)

PLUGGED_IN_SECONDS = 5.0


class TestBeforeTheOrder:
    def test_nothing_passes(self, life: Life, nothing: dict[str, Json]) -> None:
        with life.lab.capture("internet:access-2") as branch:
            life.nothing_passes()
        assert branch.count("esp or udp port 500 or udp port 4500 or udp port 4789 or proto gre") == 0

    def test_boxes_have_what_they_are_plugged_to_and_no_more(self, life: Life, nothing: dict[str, Json]) -> None:
        for box in BOXES:
            links = [line.split(":")[0] for line in nothing[f"{box}: links"]]
            assert sorted(links) == sorted(["lo", "eth0", *life.lab.topology.interfaces(box)])
            addressed = {line.split()[0] for line in nothing[f"{box}: addresses"]}
            assert addressed == {"eth0", "wan"}
            for place in ("xfrm", "connections", "associations", "policies", "certificates"):
                assert nothing[f"{box}: {place}"] == [], place
            # The base configuration: its leg into the underlay.
            assert all(
                line.startswith(("/interfaces/interface[wan,", "/routing/control-plane-protocols/"))
                and "/tenants" not in line
                for line in nothing[f"{box}: running"]
            ), nothing[f"{box}: running"]

    def test_no_component_holds_anything(self, life: Life, nothing: dict[str, Json]) -> None:
        assert {place: rows for place, rows in nothing.items() if "." in place and rows} == {}
        assert nothing["intent"]["ietf-l3vpn-svc:l3vpn-svc"].keys() == {"vpn-profiles"}
        assert nothing["sites"] == []
        assert set(map(len, nothing["tunnels"].values())) == {0}


class TestTheOrder:
    def test_what_the_plan_shows_is_what_is_done_and_then_everything_passes(
        self, life: Life, nothing: dict[str, Json]
    ) -> None:
        plan = ordering.plan(life.far, life.file)
        assert differences(nothing, life.traces()) == {}, "the plan has changed something"
        ids = service_ids(plan, life.completed(life.place()))
        done = asyncio.run(configurations(life.lab))
        planned = dict(edits_by_device(plan))
        assert set(planned) == set(BOXES)
        for box, edits in planned.items():
            assert {edit["operation"] for edit in edits} == {"create"}
            before, after = set(nothing[f"{box}: running"]), set(canonical(done[box]))
            assert before - after == set(), "the order has taken something away"
            assert after - before == {leaf for edit in edits for leaf in planned_leaves(edit, ids)}
        everything_passes(life.lab)

    def test_its_id_is_in_the_logs_of_every_component_that_did_something(
        self, life: Life, nothing: dict[str, Json]
    ) -> None:
        """In the controller by the W3C `baggage` header alone: nothing else in its requests names the order."""
        order = life.place()
        life.completed(order)
        for component, words in (
            ("gro", "step network is done"),
            ("manager", "GET /restconf/data/elasticlab-devices:devices/device=EL-UCPE-0001 200"),
            ("controller", "PATCH /restconf/data"),
            ("controller", "committed on ucpe-1, ucpe-2, vmsr-1"),
        ):
            assert any(words in line["message"] for line in logged(life.lab, component, order)), (component, words)


class TestTheEnd:
    def test_nothing_is_left_and_it_can_be_ordered_again_and_again(self, life: Life, nothing: dict[str, Json]) -> None:
        for _ in range(3):
            life.completed(life.place())
            life.passes()
            services = life.services("active")
            sites = content(life.far, NETWORK)["elasticlab-network:network"]["site"]
            assert (len(services), len(sites)) == (3, 2)
            life.completed(life.end())
            life.left_nothing(nothing)
            for service in services:
                assert (
                    life.far.call("controller", "GET", f"{INTENT}/vpn-services/vpn-service={service['id']}").status
                    == 404
                )
                known = life.far.call("gro", "GET", f"/tmf-api/serviceInventory/v4/service/{service['id']}").json()
                assert (known["state"], "endDate" in known) == ("terminated", True)
            for site in sites:
                assert life.far.call("controller", "GET", f"{INTENT}/sites/site={site['site-id']}").status == 404

    @pytest.mark.parametrize("boundary", ["devices", "network", "verify"])
    def test_an_order_that_is_cancelled_on_its_way_leaves_nothing(
        self, life: Life, nothing: dict[str, Json], boundary: str
    ) -> None:
        with BOUNDARIES[boundary](life, life.place) as order:
            life.cancel(order)
        document = life.ended(order)
        assert document["state"] == "cancelled"
        undone = [step["name"] for step in document["milestone"] if step["name"].startswith("undo")]
        rest = ["undo devices", "undo reserve"]
        assert undone == rest if boundary == "devices" else ["undo network", *rest]
        life.left_nothing(nothing)


class TestBeforeTheDevice:
    @pytest.fixture
    def unplugged(self, life: Life, nothing: dict[str, Json]) -> Iterator[Device]:
        """ucpe-2 as it leaves the factory, without power, and unknown to the operator."""
        devices = {device.name: device for device in plug.wiring(life.lab.topology, life.lab.factory).devices}
        device = devices["ucpe-2"]
        life.lab["ucpe-2"].exec("sh", "-c", "sv force-stop element; rm -rf /var/lib/element/*")
        life.lab["ucpe-2"].power.off()
        life.far.call("manager", "DELETE", f"{registry.DEVICES}/device={device.serial}")
        yield device
        registry.register(life.far, device)
        if not life.lab["ucpe-2"].running:
            life.lab["ucpe-2"].power.on()
        life.until_connected("ucpe-2")

    def test_the_order_is_held_and_goes_on_by_itself(
        self, life: Life, nothing: dict[str, Json], unplugged: Device, record_property: Callable[[str, object], None]
    ) -> None:
        order = life.place()
        life.until(order, held(f"device {unplugged.serial} of site branch-2 is not registered for acme"))
        assert life.state(order) == "held"
        registry.register(life.far, unplugged)
        life.until(order, held(f"device {unplugged.serial} of site branch-2 is expected: plug it in"))
        begun = time.monotonic()
        life.lab["ucpe-2"].power.on()
        wait_for("ucpe-2 to be managed", lambda: managed(life, unplugged), 30, interval=0.02)
        seconds = time.monotonic() - begun
        life.completed(order)
        print(f"power on to managed: {seconds:.2f} s, to completed: {time.monotonic() - begun:.2f} s")
        record_property("power-on-to-managed", seconds)
        life.passes()
        assert seconds <= PLUGGED_IN_SECONDS * time_scale()

    def test_a_held_order_that_is_cancelled_leaves_nothing(
        self, life: Life, nothing: dict[str, Json], unplugged: Device
    ) -> None:
        order = life.place()
        life.until(order, held(unplugged.serial))
        life.cancel(order)
        assert life.ended(order)["state"] == "cancelled"
        assert life.services("reserved", "active") == []
        registry.register(life.far, unplugged)
        life.lab["ucpe-2"].power.on()
        life.until_connected("ucpe-2")
        settled(life, nothing)


def service_ids(plan: Json, order: Json) -> dict[str, str]:
    """A service has its id from the moment that it is ordered; those of the plan were for the plan alone."""
    kind = "ietf-l3vpn-svc:vpn-service"
    planned = [edit["value"][kind][0]["vpn-id"] for edit in plan["intent"] if kind in edit.get("value", {})]
    return dict(zip(planned, (item["service"]["id"] for item in order["serviceOrderItem"]), strict=True))


def planned_leaves(edit: Json, ids: dict[str, str]) -> Iterator[str]:
    """The leaves that an edit of a plan writes, with their places."""
    entry = etree.fromstring(edit["config"])
    parents = [part.rpartition(":")[2] for part in edit["target"].split("[")[0].split("/")[1:-1]]
    for leaf in leaves(entry, "/" + "/".join([*parents, step(entry)])):
        place, _, value = leaf.rpartition(" = ")
        yield f"{place} = {ids.get(value, value)}"


def everything_passes(lab: Lab) -> None:
    """What the tests of traffic show, shown here: on what this order has built."""
    for group in (traffic.TestReach(), traffic.TestHowItTravels()):
        for name in dir(group):
            if name.startswith("test_"):
                for arguments in parameters(getattr(group, name)):
                    getattr(group, name)(lab, **arguments)


def parameters(test: Any) -> list[dict[str, Any]]:
    """The arguments that pytest would call a test with, but for the lab."""
    marks = [mark.args for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    return [
        dict(zip((name for name, _ in marks), values, strict=True))
        for values in itertools.product(*(v for _, v in marks))
    ]


def logged(lab: Lab, component: str, order: str) -> list[dict[str, Json]]:
    """What a component has written on an order's behalf."""
    # Also what svlogd has put away (@...), if `current` was full in between.
    found = lab["stack"].sh(f"cat /var/log/{component}/@* /var/log/{component}/current | grep {order} || true")
    lines = [json.loads(line.partition(" ")[2]) for line in found.splitlines()]
    return [line for line in lines if line["order"] == order]


def held(reason: str) -> Callable[[str, Json], bool]:
    return lambda kind, step: kind == "step" and step["status"] == "held" and reason in step["message"]


def managed(life: Life, device: Device) -> bool:
    entry = registry.read(life.far, device.serial)
    return entry is not None and entry.get("status") == "managed"


def settled(life: Life, before: dict[str, Json]) -> None:
    """A box that has just come gets its base configuration when its session is there."""
    with contextlib.suppress(DeadlineError):  # what is left then is said below
        wait_for("nothing to be left", lambda: differences(before, life.traces()) == {}, 20)
    life.left_nothing(before)

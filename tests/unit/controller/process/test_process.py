"""From an order to a network that works, and back: the whole controller with a real manager and real boxes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from controller.southbound.registry import Registry

from .conftest import BOXES, DATA, PATCH, Lab, orders

DEMO = orders.demo_order()


async def everybody(lab: Lab) -> None:
    for name in BOXES:
        await lab.box(name)


async def healthy(lab: Lab) -> None:
    await lab.until_states(branch_1="up", branch_2="up")


async def test_an_order_becomes_a_network_and_its_end_leaves_nothing(lab: Lab) -> None:
    assert (await lab.order(DEMO)).status_code == 204
    assert set((await lab.states()).values()) == {"waiting-for-device"}
    assert (await lab.network())["healthy"] is False
    await everybody(lab)
    await healthy(lab)
    network = await lab.network()
    assert network["healthy"] is True
    devices = {one["name"]: one for one in network["device"]}
    assert {name: one["serial"] for name, one in devices.items()} == BOXES
    assert devices["ucpe-1"]["sync"] == "in-sync"
    assert devices["vmsr-1"]["tunnel"] == [
        {"name": name, "peer": name, "kind": "pop", "established": True, "sent-packets": "0", "received-packets": "0"}
        for name in ("ucpe-1", "ucpe-2")
    ]
    for kind, key, entries in (("device", "name", network["device"]), ("site", "site-id", network["site"])):
        for entry in entries:
            (one,) = (await lab.get(f"elasticlab-network:network/{kind}={entry[key]}")).json().values()
            assert one == [entry], "told alone as among the others"
        assert (await lab.get(f"elasticlab-network:network/{kind}=nobody")).status_code == 404
    site = (await lab.sites())["branch-1"]
    assert site["round-trip-time"] == "1.5"
    assert {one["vpn-id"] for one in site["vpn"]} == {"between", "internet-1"}
    await lab.cancel()
    await lab.until_states()
    assert all(box.interfaces == {"wan"} for box in lab.boxes.values())
    assert (await lab.get("ietf-l3vpn-svc:l3vpn-svc")).status_code == 404
    assert (await lab.network())["healthy"] is True


async def test_the_operators_clouds_are_there_before_anybody_orders(lab: Lab) -> None:
    (cloud,) = (await lab.get("ietf-l3vpn-svc:l3vpn-svc")).json().values()
    assert cloud == {
        "vpn-profiles": {"valid-provider-identifiers": {"cloud-identifier": [{"id": "internet"}, {"id": "vpc"}]}}
    }


async def test_a_change_is_seen_at_once(lab: Lab) -> None:
    """Who has changed the intent never reads that a site is up as it was before."""
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    lab.boxes["ucpe-1"].system.refuse = "not now"
    other = json.loads(json.dumps(DEMO).replace("10.1.0.1", "10.9.0.1"))
    assert (await lab.order(other)).status_code == 204
    sites = await lab.sites()
    assert (sites["branch-1"]["state"], sites["branch-1"]["in-sync"]) == ("configuring", False)
    assert (sites["branch-2"]["state"], sites["branch-2"]["in-sync"]) == ("up", True)

    async def failed() -> bool:
        site = (await lab.sites())["branch-1"]
        return bool(site["state"] == "failed" and "not now" in site["reason"])

    await lab.until(failed)
    lab.boxes["ucpe-1"].system.refuse = None
    await healthy(lab)
    assert "10.9.0.1" in str(lab.boxes["ucpe-1"].stores.running)


async def test_a_new_site_is_on_both_devices_or_on_none(lab: Lab) -> None:
    await lab.box("vmsr-1")
    box = await lab.box("ucpe-1")
    box.system.refuse = "no memory"
    await lab.order(DEMO)

    async def refused() -> bool:
        return (await lab.states()).get("branch-1") == "failed"

    await lab.until(refused)
    assert lab.boxes["vmsr-1"].interfaces == {"wan"}
    assert (await lab.states())["branch-2"] == "waiting-for-device"
    box.system.refuse = None
    await lab.until_states(branch_1="up", branch_2="waiting-for-device")
    assert "gre-ucpe-1" in lab.boxes["vmsr-1"].interfaces
    assert "vxlan-1020" not in lab.boxes["vmsr-1"].interfaces


async def test_what_breaks_is_told_and_alarmed_until_it_is_mended(lab: Lab) -> None:
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    alarm = ("site-down", "/elasticlab-network:network/site[site-id='branch-1']")
    lab.boxes["vmsr-1"].system.up = False
    await lab.until_states(branch_1="down", branch_2="down")
    site = (await lab.sites())["branch-1"]
    assert site["in-sync"] is True
    assert site["reason"] == "the tunnel between ucpe-1 and vmsr-1 is not established"
    assert (await lab.network())["healthy"] is False

    async def cleared(wanted: bool) -> bool:
        found = (await lab.alarms()).get(alarm)
        return found is not None and found["is-cleared"] is wanted

    await lab.until(lambda: cleared(False))
    lab.boxes["vmsr-1"].system.up = True
    await healthy(lab)
    await lab.until(lambda: cleared(True))


async def test_a_tunnel_that_carries_nothing_is_not_up(lab: Lab) -> None:
    await everybody(lab)
    lab.boxes["vmsr-1"].system.answers = False
    await lab.order(DEMO)

    async def silent() -> bool:
        reasons = [site.get("reason", "") for site in (await lab.sites()).values()]
        return len(reasons) == 2 and all("does not answer through its tunnel" in reason for reason in reasons)

    await lab.until(silent)
    assert set((await lab.states()).values()) == {"configuring"}
    lab.boxes["vmsr-1"].system.answers = True
    await healthy(lab)


async def test_the_next_process_goes_on(lab: Lab) -> None:
    """Intent, devices and numbers are there; what works goes on working and is found to."""
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    before = {name: box.stores.running for name, box in lab.boxes.items()}
    await lab.stop()
    await lab.start()
    assert set((await lab.states()).values()) <= {"configuring", "up"}
    await healthy(lab)
    assert {name: box.stores.running for name, box in lab.boxes.items()} == before


async def test_a_device_that_leaves_the_registry_leaves_the_network(lab: Lab) -> None:
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    async with lab.manager.operator() as client:
        answer = await client.delete("/restconf/data/elasticlab-devices:devices/device=U2")
    assert answer.status_code == 204, answer.text
    await lab.until_states(branch_1="up", branch_2="waiting-for-device")

    async def gone() -> bool:
        names = {one["name"] for one in (await lab.network())["device"]}
        return names == {"vmsr-1", "ucpe-1"} and "vxlan-1020" not in lab.boxes["vmsr-1"].interfaces

    await lab.until(gone)

    async def alarmed() -> bool:
        return ("device-refused", "/elasticlab-network:network/device[name='ucpe-2']") in await lab.alarms()

    await lab.until(alarmed)
    await lab.until_states(branch_1="up", branch_2="waiting-for-device")


async def test_a_device_leaves_though_the_controller_was_killed_when_it_learned_of_it(lab: Lab) -> None:
    """The registry's copy is on disk, what follows from it is not yet."""
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    await lab.stop()
    async with lab.manager.operator() as client:
        answer = await client.delete("/restconf/data/elasticlab-devices:devices/device=U2")
    assert answer.status_code == 204, answer.text
    copy = lab.folder / "controller-data" / "registry.json"
    copy.write_text(json.dumps([one for one in json.loads(copy.read_text()) if one["serial"] != "U2"]))
    await lab.start()

    async def gone() -> bool:
        return {one["name"] for one in (await lab.network()).get("device", [])} == {"vmsr-1", "ucpe-1"}

    await lab.until(gone)


async def test_a_part_that_fails_for_good_ends_the_process(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its supervisor starts a whole one."""
    await lab.stop()

    async def broken(registry: Registry) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(Registry, "follow", broken)
    await lab.start()
    with pytest.raises(RuntimeError, match="a defect of ours"):
        await lab.ended()
    monkeypatch.undo()
    await lab.start()


async def test_a_plan_says_what_an_order_does_and_does_nothing(lab: Lab) -> None:
    await everybody(lab)

    async def known() -> bool:
        return {one["name"] for one in (await lab.network()).get("device", []) if one["sync"] == "in-sync"} == set(
            BOXES
        )

    await lab.until(known)
    answer = await lab.call("plan", {"intent": DEMO}, "service:gro")
    assert answer.status_code == 200, answer.text
    edits = answer.json()["elasticlab-network:output"]["edit"]
    assert {one["device"] for one in edits} == set(BOXES)
    assert {one["operation"] for one in edits} == {"create"}
    assert (await lab.network())["healthy"] is True
    assert all(box.interfaces == {"wan"} for box in lab.boxes.values())
    await lab.order(DEMO)
    await healthy(lab)
    planned = {one["target"] for one in edits if one["device"] == "ucpe-1" and "interface" in one["target"]}
    done = {f"/ietf-interfaces:interfaces/interface[name='{name}']" for name in lab.boxes["ucpe-1"].interfaces}
    assert planned == done - {"/ietf-interfaces:interfaces/interface[name='wan']"}
    # RFC 8040, section 3.6.2: without output there is no content.
    assert (await lab.call("plan", {"intent": DEMO})).status_code == 204


async def test_a_plan_of_an_end_says_what_goes(lab: Lab) -> None:
    """All of a change at once: half of it, a VPN with a single site, would not be valid."""
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    alone = orders.site("branch-1", "ucpe-1", "10.1.0.1/24", "internet-1")
    ending = {"ietf-l3vpn-svc:l3vpn-svc": {"sites": {"site": [alone]}}}
    gone = {"remove-site": ["branch-2"], "remove-vpn": ["between", "internet-2"]}
    answer = await lab.call("plan", {"intent": ending, **gone}, "service:gro")
    assert answer.status_code == 200, answer.text
    edits = answer.json()["elasticlab-network:output"]["edit"]
    by_device = {name: {one["operation"] for one in edits if one["device"] == name} for name in BOXES}
    assert by_device["ucpe-2"] == {"delete"}
    assert by_device["vmsr-1"] == {"delete", "replace"}
    half = await lab.call("plan", {"remove-site": ["branch-2"]}, "service:gro")
    assert half.status_code == 400
    assert "connects sites and has one" in half.text
    assert await lab.states() == {"branch-1": "up", "branch-2": "up"}


@pytest.mark.parametrize(
    ("intent", "says"),
    [
        ({"ietf-l3vpn-svc:l3vpn-svc": {"sites": {"site": [{"site-id": "x"}]}}}, "type"),
        ({"ietf-alarms:alarms": {}}, "one tree of"),
        (None, "nothing to plan"),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(lab: Lab, intent: Any, says: str) -> None:
    answer = await lab.call("plan", {} if intent is None else {"intent": intent})
    assert answer.status_code in (400, 409, 412), answer.text
    assert says in answer.text


async def test_what_is_intended_can_be_read(lab: Lab) -> None:
    await everybody(lab)
    await lab.order(DEMO)
    await healthy(lab)
    answer = await lab.call("get-intended", {"device": "ucpe-1"})
    config = answer.json()["elasticlab-network:output"]["config"]
    assert "<name>overlay</name>" in config
    assert "operation" not in config
    refused = await lab.call("get-intended", {"device": "nobody"})
    assert refused.status_code == 409
    assert "has never come" in refused.text


async def test_who_may_do_what(lab: Lab) -> None:
    assert (await lab.order(DEMO, "service:portal")).status_code == 403
    assert (await lab.order(DEMO, "tenant")).status_code == 403
    assert (await lab.get("elasticlab-network:network", "tenant")).status_code == 403
    assert (await lab.get("elasticlab-network:network", "nobody")).status_code == 401
    assert (await lab.get("elasticlab-network:network", "service:portal")).status_code == 200


async def test_an_order_that_cannot_be_is_refused_by_place(lab: Lab) -> None:
    await lab.box("vmsr-1")

    async def known() -> bool:
        return any(one["sync"] == "in-sync" for one in (await lab.network()).get("device", []))

    await lab.until(known)
    answer = await lab.order(json.loads(json.dumps(DEMO).replace('"ucpe-2"', '"vmsr-1"')))
    assert answer.status_code == 400, answer.text
    error = answer.json()["ietf-restconf:errors"]["error"][0]
    assert error["error-tag"] == "invalid-value"
    assert error["error-path"].endswith("/elasticlab-access:access/device")
    assert "serves no site: give a uCPE" in error["error-message"]


async def test_changes_are_told_while_they_happen(lab: Lab) -> None:
    """Each with all that is to be said of the site, so that nobody has to ask."""
    async with lab.told("site-state-changed") as told:
        await everybody(lab)
        await lab.order(DEMO)
        await healthy(lab)
        there = (await lab.sites())["branch-1"]
        said = [event for event in told if event["site-id"] == "branch-1"][-1]
        assert said == {name: value for name, value in there.items() if name in said}
        assert {"in-sync", "since", "vpn", "round-trip-time"} <= said.keys()
        await lab.cancel()
        await lab.until_states()

        async def all_told() -> bool:
            return sum("gone" in event for event in told) == 2

        await lab.until(all_told)
    of_one = [event["state"] for event in told if event["site-id"] == "branch-1"]
    assert of_one[-3:] == ["up", "removing", "removing"]
    assert "configuring" in of_one


async def test_a_yang_patch_of_gro_is_one_commit(lab: Lab) -> None:
    """RFC 8072: the second edit cannot be, so the first is not done."""
    site = orders.site("branch-1", "ucpe-1", "10.1.0.1/24", "internet-1")
    edits = [
        {
            "edit-id": "1",
            "operation": "replace",
            "target": "/ietf-l3vpn-svc:l3vpn-svc/vpn-services/vpn-service=internet-1",
            "value": {"ietf-l3vpn-svc:vpn-service": [orders.vpn("internet-1")]},
        },
        {
            "edit-id": "2",
            "operation": "replace",
            "target": "/ietf-l3vpn-svc:l3vpn-svc/sites/site=branch-1",
            "value": {"ietf-l3vpn-svc:site": [site]},
        },
    ]
    body = {"ietf-yang-patch:yang-patch": {"patch-id": "p", "edit": edits}}
    async with lab.client("service:gro") as client:
        answer = await client.patch("/restconf/data", content=json.dumps(body), headers={"content-type": PATCH})
    assert answer.status_code in (400, 409), answer.text
    assert "connects sites and has one" in answer.text
    (intent,) = (await lab.get("ietf-l3vpn-svc:l3vpn-svc")).json().values()
    assert intent.keys() == {"vpn-profiles"}
    assert DATA in answer.headers["content-type"]

"""A cloud access from the order to its end: states, alarms, and a key that nobody reads back. Direct paths follow
where boxes call from."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from .conftest import Lab, orders

SECRET = "a-key-that-nobody-reads-back"
ALARM = ("cloud-down", "/elasticlab-network:network/cloud[vpn-id='between'][cloud-identifier='vpc']")
SERVICE = "ietf-l3vpn-svc:l3vpn-svc/vpn-services/vpn-service=between"
IPSEC = "elasticlab-ipsec:ipsec"


def _order(**gateway: Any) -> Any:
    tree = orders.demo_order()
    root = tree["ietf-l3vpn-svc:l3vpn-svc"]
    where = {"address": "198.51.100.9", "identity": "gateway.cloud.example", "remote-prefix": ["172.16.0.0/16"]}
    where |= {"shared-key": SECRET} | gateway
    cloud = {"cloud-identifier": "vpc", "elasticlab-access:gateway": where}
    root["vpn-services"]["vpn-service"][2]["cloud-accesses"] = {"cloud-access": [cloud]}
    root["vpn-profiles"]["valid-provider-identifiers"]["cloud-identifier"].append({"id": "vpc"})
    return tree


async def _everybody(lab: Lab) -> None:
    for name in ("vmsr-1", "ucpe-1", "ucpe-2"):
        await lab.box(name)


async def _cloud(lab: Lab) -> Any:
    (cloud,) = (await lab.network()).get("cloud", [{}])
    return cloud


async def _until_cloud(lab: Lab, state: str) -> None:
    async def there() -> bool:
        return (await _cloud(lab)).get("state") == state

    await lab.until(there)


async def test_a_cloud_is_built_watched_and_taken_away(lab: Lab) -> None:
    assert (await lab.order(_order())).status_code == 204
    assert (await _cloud(lab))["state"] in ("configuring", "waiting-for-device")
    assert (await lab.network())["healthy"] is False
    await _everybody(lab)
    await _until_cloud(lab, "up")
    await lab.until_states(branch_1="up", branch_2="up")
    cloud = await _cloud(lab)
    assert cloud.pop("since")
    assert cloud == {
        "vpn-id": "between",
        "cloud-identifier": "vpc",
        "state": "up",
        "in-sync": True,
        "end": [
            {
                "device": "vmsr-1",
                "address": "203.0.113.2",
                "identity": "cloud-1.vmsr-1.elasticlab.example",
                "established": True,
                "local-prefix": ["10.1.0.0/24", "10.2.0.0/24"],
                "remote-prefix": ["172.16.0.0/16"],
            }
        ],
    }
    network = await lab.network()
    assert network["healthy"] is True
    (router,) = [one for one in network["device"] if one["name"] == "vmsr-1"]
    assert {one["name"]: (one["peer"], one["kind"]) for one in router["tunnel"]}["cloud_1"] == (
        "gateway.cloud.example",
        "cloud",
    )
    await lab.cancel()

    async def gone() -> bool:
        return "cloud" not in await lab.network() and lab.boxes["vmsr-1"].interfaces == {"wan"}

    await lab.until(gone)


async def test_a_tunnel_that_fails_is_told_alarmed_and_unhealthy_while_sites_are_up(lab: Lab) -> None:
    await _everybody(lab)
    await lab.order(_order())
    await _until_cloud(lab, "up")
    await lab.until_states(branch_1="up", branch_2="up")
    lab.boxes["vmsr-1"].system.broken.add("cloud_1")
    await _until_cloud(lab, "down")
    cloud = await _cloud(lab)
    reason = "the tunnel between vmsr-1 and gateway.cloud.example at 198.51.100.9 is not established"
    assert (cloud["reason"], cloud["end"][0]["established"]) == (reason, False)
    assert set((await lab.states()).values()) == {"up"}
    assert (await lab.network())["healthy"] is False

    async def cleared(wanted: bool) -> bool:
        found = (await lab.alarms()).get(ALARM)
        return found is not None and found["is-cleared"] is wanted

    await lab.until(lambda: cleared(False))
    lab.boxes["vmsr-1"].system.broken.clear()
    await _until_cloud(lab, "up")
    await lab.until(lambda: cleared(True))


async def test_nobody_reads_the_key_back(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await _everybody(lab)
    plan = await lab.call("plan", {"intent": _order()})
    assert plan.status_code == 200
    assert "pre-shared" in plan.text
    assert (await lab.order(_order())).status_code == 204
    await _until_cloud(lab, "up")
    told = [plan.text]
    for token in ("admin", "service:gro", "service:portal"):
        told += [(await lab.get(place, token)).text for place in ("ietf-l3vpn-svc:l3vpn-svc", SERVICE)]
        assert "gateway.cloud.example" in told[-1]
        below = f"{SERVICE}/cloud-accesses/cloud-access=vpc/elasticlab-access:gateway/shared-key"
        assert (await lab.get(below, token)).status_code in (403, 404)
    intended = await lab.call("get-intended", {"device": "vmsr-1"})
    assert "cloud-1.vmsr-1" in intended.text
    told += [intended.text, (await lab.get("elasticlab-network:network")).text]
    told += [(await lab.get("ietf-alarms:alarms")).text, caplog.text]
    assert [text for text in told if SECRET in text] == []
    assert SECRET in str(lab.boxes["vmsr-1"].stores.running), "but the device has it"
    data = lab.folder / "controller-data"
    assert {path.name for path in data.iterdir() if SECRET.encode() in path.read_bytes()} <= {
        "startup.xml",
        "startup.xml.journal",
    }
    kept = [path for path in data.iterdir() if path.name.startswith(("controller.sqlite", "startup"))]
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in kept} == {path.name: "0o0" for path in kept}


@pytest.mark.parametrize("wrong", ["too-short", "with a space in the middle of it"])
async def test_a_wrong_key_is_not_repeated(wrong: str, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await lab.order(_order(**{"shared-key": wrong}))
    assert answer.status_code == 400
    assert "shared-key" in answer.text
    assert "A shared key" in answer.text
    assert wrong not in answer.text + caplog.text


async def test_aggressive_mode_with_a_key_is_refused_with_its_reason(lab: Lab) -> None:
    answer = await lab.order(_order(**{"ike-mode": "ikev1-aggressive"}))
    assert answer.status_code == 400
    (error,) = answer.json()["ietf-restconf:errors"]["error"]
    assert "hash of the shared key to anybody who asks" in error["error-message"]
    assert error["error-path"].endswith("gateway/ike-mode")
    assert SECRET not in answer.text


async def test_a_device_that_does_not_tell_the_key_is_in_sync_and_drift_is_seen(lab: Lab) -> None:
    await _everybody(lab)
    router = lab.boxes["vmsr-1"]
    await lab.order(_order())
    await _until_cloud(lab, "up")
    await lab.until_states(branch_1="up", branch_2="up")
    writes = len(router.system.applied)
    # The next process does not know what the device has: it writes once, and then leaves it alone.
    await lab.stop()
    await lab.start()
    await _until_cloud(lab, "up")
    await lab.until_states(branch_1="up", branch_2="up")
    assert len(router.system.applied) <= writes + 2
    writes = len(router.system.applied)
    assert (await lab.order(_order(**{"shared-key": f"{SECRET}-2"}))).status_code == 204

    async def changed() -> bool:
        return f"{SECRET}-2" in str(router.stores.running) and (await _cloud(lab))["state"] == "up"

    await lab.until(changed)
    running = router.stores.running
    for entry in running[IPSEC]["pad"]["pad-entry"]:
        if entry["name"] == "cloud_1":
            entry["identity"] = "another.cloud.example"
    await router.stores.replace_running(running)

    async def mended() -> bool:
        return "another.cloud.example" not in str(router.stores.running)

    await lab.until(mended)
    assert f"{SECRET}-2" in str(router.stores.running)
    assert len(router.system.applied) <= writes + 8


async def test_a_device_that_takes_a_gateways_name_stops_nobody(lab: Lab) -> None:
    """Not the other tenant's order and plan, not the next start; the cloud is failed until it has another name."""
    identity = "ucpe-2.elasticlab.example"
    tree = _order(identity=identity)
    root = tree["ietf-l3vpn-svc:l3vpn-svc"]
    theirs = root["sites"]["site"].pop()
    for name in ("vmsr-1", "ucpe-1"):
        await lab.box(name)
    assert (await lab.order(tree)).status_code == 204
    await _until_cloud(lab, "up")
    await lab.box("ucpe-2")
    await _until_cloud(lab, "failed")
    reason = f"{identity} is a device of the operator's, and no gateway: give the cloud's identity"
    assert (await _cloud(lab))["reason"] == reason

    async def alarmed() -> bool:
        return (await lab.alarms()).get(ALARM, {}).get("is-cleared") is False

    await lab.until(alarmed)
    root["vpn-services"]["vpn-service"][1]["customer-name"] = "globex"
    theirs.pop("vpn-policies")
    theirs["site-network-accesses"]["site-network-access"][0]["vpn-attachment"] = {"vpn-id": "internet-2"}
    root["sites"]["site"].append(theirs)
    assert (await lab.call("plan", {"intent": tree})).status_code == 200
    assert (await lab.order(tree)).status_code == 204
    await lab.until_states(branch_1="up", branch_2="up")
    assert "cloud_1" not in str(lab.boxes["vmsr-1"].stores.running)
    await lab.stop()
    await lab.start()
    await lab.until_states(branch_1="up", branch_2="up")
    assert (await _cloud(lab))["state"] == "failed"
    assert (await lab.order(_order(identity="vmsr-1.elasticlab.example"))).status_code == 400
    root["vpn-services"]["vpn-service"][2] = _order()["ietf-l3vpn-svc:l3vpn-svc"]["vpn-services"]["vpn-service"][2]
    assert (await lab.order(tree)).status_code == 204
    await _until_cloud(lab, "up")


async def test_changes_are_told(lab: Lab) -> None:
    async with lab.told("cloud-state-changed") as told:

        async def ended() -> bool:
            words = [(event["vpn-id"], event["cloud-identifier"], event["state"]) for event in told[-2:]]
            return words == [("between", "vpc", "removing")] * 2

        await _everybody(lab)
        await lab.order(_order())
        await _until_cloud(lab, "up")
        await lab.cancel()
        await lab.until(ended)
    assert told[-3]["state"] == "up"


async def test_direct_paths_follow_where_boxes_call_from(lab: Lab) -> None:
    tree = orders.demo_order()
    root = tree["ietf-l3vpn-svc:l3vpn-svc"]
    root["vpn-services"]["vpn-service"][2]["elasticlab-access:direct-paths"] = True
    access = root["sites"]["site"][1]["site-network-accesses"]["site-network-access"][0]["elasticlab-access:access"]
    access["mode"] = "routed"
    del access["vlan"]
    await _everybody(lab)

    async def warned() -> bool:
        plan = (await lab.call("plan", {"intent": tree})).json()["elasticlab-network:output"]
        (note,) = plan["note"]
        assert (note["site"], note["peer"]) == ("branch-1", "branch-2")
        return "both behind NAT" in note["text"]

    await lab.until(warned)
    assert (await lab.order(tree)).status_code == 204
    await lab.until_states(branch_1="up", branch_2="up")
    assert "gre-ucpe-1" not in lab.boxes["ucpe-2"].interfaces
    # It gets the address that it calls from.
    box = lab.boxes["ucpe-2"]
    await box.stores.replace_running(json.loads(json.dumps(box.stores.running).replace("192.0.2.6", "127.0.0.1")))

    async def direct(wanted: bool) -> bool:
        ends = ("gre-ucpe-2" in lab.boxes["ucpe-1"].interfaces, "gre-ucpe-1" in box.interfaces)
        return ends == (wanted, wanted)

    await lab.until(lambda: direct(True))

    async def told() -> bool:
        devices = (await lab.network())["device"]
        kinds = {(one["name"], t["name"]): t["kind"] for one in devices for t in one.get("tunnel", [])}
        return kinds.get(("ucpe-1", "ucpe-2")) == kinds.get(("ucpe-2", "ucpe-1")) == "direct"

    await lab.until(told)
    other = json.loads(json.dumps(tree).replace("10.2.0.1", "10.3.0.1"))
    assert "note" not in (await lab.call("plan", {"intent": other})).json()["elasticlab-network:output"]
    await lab.cancel()
    await lab.until_states()
    await lab.until(lambda: direct(False))

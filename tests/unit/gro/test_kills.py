"""kill -9 of GRO at each boundary of each of an order's steps: nothing is lost, nothing comes twice, and it ends."""

from collections import defaultdict
from typing import Any

import httpx
import pytest

ORDERING = "/tmf-api/serviceOrdering/v4"
INVENTORY = "/tmf-api/serviceInventory/v4"
BOUND_SECONDS = 15.0
STEPS = ("reserve", "devices", "network", "verify", "finish")
POINTS = ("begun", "done", "journalled")
UNDOING = [f"undo {step} {point}" for step in ("network", "devices", "reserve") for point in POINTS]
SITE = {"name": "branch-1", "device": "S1", "access": "routed", "gateway": "10.1.0.1/24"}
SERVICE = {
    "serviceSpecification": {"name": "Site to Internet"},
    "serviceCharacteristic": [{"name": "site", "value": SITE}],
}
ORDER = {"serviceOrderItem": [{"id": "1", "action": "add", "service": SERVICE}]}
NOTHING: dict[str, set[str]] = {"vpns": set(), "sites": set()}


async def post(world: Any, path: str, body: Any) -> None:
    """Sent to somebody who may be killed before he answers."""
    try:
        assert (await world.call("POST", path, body)).status_code == 201
    except httpx.TransportError:
        assert world.process.exitcode in (None, -9)


async def subscribe(world: Any, listener: Any) -> None:
    await post(world, f"{ORDERING}/hub", {"callback": listener.url})


async def check(world: Any, listener: Any, order: dict[str, Any], *, changes: int, service: str) -> None:
    """Each step once, one service, as many changes of intent as there must be, and every event told."""
    names = [step["name"] for step in order["milestone"]]
    assert len(names) == len(set(names)), names
    (found,) = (await world.call("GET", f"{INVENTORY}/service")).json()
    assert found["state"] == service
    assert world.network.controller.changes == changes
    wanted = {"vpns": {found["id"]}, "sites": {"acme.branch-1"}} if service == "active" else NOTHING
    assert world.network.controller.ordered == wanted
    events = await listener.until(order["state"])
    bodies = defaultdict(list)
    for event in events:
        bodies[event["eventId"]].append(event)
    assert all(one == same[0] for same in bodies.values() for one in same), "an event told again is the same event"
    states = [same[0]["event"]["serviceOrder"]["state"] for same in bodies.values()]
    assert (states[0], states[-1], states.count(order["state"])) == ("acknowledged", order["state"], 1)


@pytest.mark.parametrize("place", ["accepted", "told", *(f"do {step} {point}" for step in STEPS for point in POINTS)])
async def test_an_order_killed_forward_is_completed(world: Any, listener: Any, place: str) -> None:
    await world.start(place)
    await subscribe(world, listener)
    await post(world, f"{ORDERING}/serviceOrder", ORDER)
    await world.died()
    await world.start()
    order = await world.until("completed", "failed", "cancelled", seconds=BOUND_SECONDS)
    assert (order["state"], [step["name"] for step in order["milestone"]]) == ("completed", list(STEPS))
    await check(world, listener, order, changes=1, service="active")


@pytest.mark.parametrize("place", ["cancel accepted", *UNDOING])
async def test_an_order_killed_while_it_is_cancelled_leaves_nothing(world: Any, listener: Any, place: str) -> None:
    world.network.controller.states["acme.branch-1"] = "configuring"
    await world.start(place)
    await subscribe(world, listener)
    await post(world, f"{ORDERING}/serviceOrder", ORDER)
    await world.network.controller.until(changes=1)
    (order,) = await world.orders()
    await post(world, f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order["id"]}})
    await world.died()
    await world.start()
    order = await world.until("completed", "failed", "cancelled", seconds=BOUND_SECONDS)
    assert order["state"] == "cancelled"
    await check(world, listener, order, changes=2, service="terminated")


@pytest.mark.parametrize("place", [f"do {step} {point}" for step in ("network", "finish") for point in POINTS])
async def test_a_deletion_killed_is_completed(world: Any, listener: Any, place: str) -> None:
    await world.start()
    await post(world, f"{ORDERING}/serviceOrder", ORDER)
    await world.until("completed")
    (service,) = (await world.call("GET", f"{INVENTORY}/service")).json()
    world.kill()
    await world.start(place)
    await subscribe(world, listener)
    end = {"id": "1", "action": "delete", "service": {"id": service["id"]}}
    await post(world, f"{ORDERING}/serviceOrder", {"serviceOrderItem": [end]})
    await world.died()
    await world.start()
    order = await world.until("completed", "failed", "cancelled", seconds=BOUND_SECONDS)
    assert order["state"] == "completed"
    await check(world, listener, order, changes=2, service="terminated")


CHANGED = {**SITE, "gateway": "10.1.0.254/24", "dhcp": {"start": "10.1.0.100", "end": "10.1.0.199"}}


def gateway(world: Any) -> str:
    """Of the site, in the intent."""
    (site,) = world.network.controller.intent["sites"]["site"]
    ipv4 = site["site-network-accesses"]["site-network-access"][0]["ip-connection"]["ipv4"]
    return str((ipv4.get("addresses") or ipv4.get("provider-dhcp"))["provider-address"])


async def modify(world: Any, listener: Any, place: str, *slow: str) -> None:
    """An active service; the order that changes it is taken by a GRO that is killed."""
    await world.start()
    await post(world, f"{ORDERING}/serviceOrder", ORDER)
    await world.until("completed")
    (service,) = (await world.call("GET", f"{INVENTORY}/service")).json()
    world.kill()
    world.network.controller.slow.update(slow)
    await world.start(place)
    await subscribe(world, listener)
    change = {"id": service["id"], "serviceCharacteristic": [{"name": "site", "value": CHANGED}]}
    item = {"id": "1", "action": "modify", "service": change}
    await post(world, f"{ORDERING}/serviceOrder", {"serviceOrderItem": [item]})


@pytest.mark.parametrize("place", ["accepted", *(f"do {step} {point}" for step in STEPS for point in POINTS)])
async def test_a_change_killed_is_completed(world: Any, listener: Any, place: str) -> None:
    await modify(world, listener, place)
    await world.died()
    await world.start()
    order = await world.until("completed", "failed", "cancelled", seconds=BOUND_SECONDS)
    assert order["state"] == "completed"
    await check(world, listener, order, changes=2, service="active")
    (service,) = (await world.call("GET", f"{INVENTORY}/service")).json()
    assert service["serviceCharacteristic"][0]["value"] == CHANGED
    assert gateway(world) == "10.1.0.254"


@pytest.mark.parametrize("place", UNDOING)
async def test_a_change_killed_while_it_is_cancelled_is_as_if_it_never_was(
    world: Any, listener: Any, place: str
) -> None:
    await modify(world, listener, place, "acme.branch-1")
    await world.network.controller.until(changes=2)
    world.network.controller.slow.clear()
    order = (await world.orders())[-1]
    await post(world, f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order["id"]}})
    await world.died()
    await world.start()
    order = await world.until("completed", "failed", "cancelled", seconds=BOUND_SECONDS)
    assert order["state"] == "cancelled"
    await check(world, listener, order, changes=3, service="active")
    (service,) = (await world.call("GET", f"{INVENTORY}/service")).json()
    assert service["serviceCharacteristic"][0]["value"] == SITE
    assert gateway(world) == "10.1.0.1"

"""Orders from POST to their end, against real RESTCONF servers."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from gro import store
from stackkit.database import Database

from tests.unit.gro.conftest import Listener, serving

ORDERING = "/tmf-api/serviceOrdering/v4"
INVENTORY = "/tmf-api/serviceInventory/v4"


def site(number: int, **more: Any) -> dict[str, Any]:
    base = {"name": f"branch-{number}", "device": f"S{number}", "access": "routed", "gateway": f"10.{number}.0.1/24"}
    return {**base, **more}


def add(item: str, specification: str, value: Any) -> dict[str, Any]:
    name = "sites" if isinstance(value, list) else "site"
    characteristic = [{"name": name, "value": value}]
    service = {"serviceSpecification": {"name": specification}, "serviceCharacteristic": characteristic}
    return {"id": item, "action": "add", "service": service}


def internet(number: int = 1) -> dict[str, Any]:
    return add("1", "Site to Internet", site(number))


async def services(gro: Any, tenant: str | None = "acme") -> list[dict[str, Any]]:
    return (await gro.call("GET", f"{INVENTORY}/service", tenant=tenant)).json()


async def test_an_order_is_carried_out_and_its_service_can_be_ended(gro: Any) -> None:
    answer = await gro.order(internet(), add("2", "Site to Site", [{"name": "branch-1"}, site(2)]))
    assert answer.headers["location"] == answer.json()["href"]
    assert answer.json()["state"] == "acknowledged"
    done = await gro.finished(answer)
    assert done["state"] == "completed"
    assert [m["name"] for m in done["milestone"]] == ["reserve", "devices", "network", "verify", "finish"]
    assert gro.network.controller.changes == 1, "all items are one transaction of the network"
    active = await services(gro)
    assert [one["state"] for one in active] == ["active", "active"]

    ends = [{"id": str(n), "action": "delete", "service": {"id": one["id"]}} for n, one in enumerate(active)]
    ended = await gro.finished(await gro.order(*ends))
    assert ended["state"] == "completed", ended
    assert [one["state"] for one in await services(gro)] == ["terminated", "terminated"]
    assert gro.network.controller.ordered == {"vpns": set(), "sites": set()}, "nothing of it is left in the intent"
    assert (await gro.call("GET", "/sites")).json() == []


async def test_an_order_is_held_until_its_device_is_plugged_in(gro: Any) -> None:
    await gro.network.unplug_all()
    answer = await gro.order(internet())
    held = await gro.until(answer, "held")
    assert "S1" in held["milestone"][-1]["message"]
    assert gro.network.controller.intent == {}
    await gro.network.plug_in("S1")
    assert (await gro.finished(answer))["state"] == "completed"


async def test_another_tenants_device_looks_as_if_it_did_not_exist(gro: Any) -> None:
    await gro.network.plug_in("S1", owner="rival")
    theirs = (await gro.until(await gro.order(internet()), "held"))["milestone"][-1]["message"]
    assert theirs == "device S1 of site branch-1 is not registered for acme"


async def test_a_rivals_wish_for_a_device_does_not_keep_its_owner_from_it(gro: Any) -> None:
    wish = await gro.order(internet(), tenant="rival")
    await gro.until(wish, "held")
    assert (await gro.finished(await gro.order(internet())))["state"] == "completed"
    held = await gro.until(wish, "held")
    assert held["milestone"][-1]["message"] == "device S1 of site branch-1 is not registered for rival"


async def test_a_device_of_the_operator_serves_one_tenant_at_a_time(gro: Any) -> None:
    await gro.network.plug_in("S1", owner="operator")
    first = await gro.finished(await gro.order(internet(), tenant="rival"), "rival")
    assert first["state"] == "completed"
    order = await gro.order(internet())
    held = await gro.until(order, "held")
    assert held["milestone"][-1]["message"] == "device S1 of site branch-1 is not registered for acme"
    more = add("1", "Site to Internet", site(2, device="S1", access="bridged", port="lan2"))
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [more]})
    assert (plan.status_code, plan.json()["detail"]) == (422, "device S1 of site branch-2 is not registered for acme")
    assert not gro.network.controller.plans, "the controller, which knows whom it serves, is not asked"
    service = first["serviceOrderItem"][0]["service"]["id"]
    end = {"id": "1", "action": "delete", "service": {"id": service}}
    await gro.finished(await gro.order(end, tenant="rival"), "rival")
    gro.desk.engine.wake(order.json()["id"])
    assert (await gro.finished(order))["state"] == "completed"


def test_a_database_of_before_keeps_its_sites_when_devices_are_freed(tmp_path: Path) -> None:
    file = tmp_path / "gro.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as before, before:
        before.execute(
            "CREATE TABLE site (tenant VARCHAR NOT NULL, name VARCHAR NOT NULL, device VARCHAR NOT NULL UNIQUE, "
            "device_name VARCHAR, document JSON NOT NULL, PRIMARY KEY (tenant, name))"
        )
        before.execute("""INSERT INTO site VALUES ('acme', 'b', 'S1', 'ucpe-1', '{"name": "b"}')""")
    database = Database(file, store.MIGRATIONS)
    with database.begin() as connection:
        wish = {"tenant": "rival", "name": "b", "device": "S1", "document": {}}
        connection.execute(store.sites.insert().values(**wish))
        found = connection.execute(sa.select(store.sites.c.tenant, store.sites.c.device_name)).all()
        assert sa.inspect(connection).get_columns("service")[-1]["name"] == "secret"
    assert [tuple(row) for row in found] == [("acme", "ucpe-1"), ("rival", None)]
    database.close()


async def test_cancelled_while_held_it_leaves_nothing(gro: Any) -> None:
    await gro.network.unplug_all()
    answer = await gro.order(internet())
    await gro.until(answer, "held")
    cancel = {"serviceOrder": {"id": answer.json()["id"]}, "cancellationReason": "changed our mind"}
    cancelled = await gro.call("POST", f"{ORDERING}/cancelServiceOrder", cancel)
    assert cancelled.status_code == 201
    assert (await gro.finished(answer))["state"] == "cancelled"
    assert (await gro.call("GET", cancelled.json()["href"])).json()["state"] == "done"
    assert gro.network.controller.intent == {}
    assert (await gro.call("GET", "/sites")).json() == []
    again = await gro.call("POST", f"{ORDERING}/cancelServiceOrder", cancel)
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")


async def test_cancelled_while_the_network_is_at_work_the_network_is_restored(gro: Any) -> None:
    gro.network.controller.states["acme.branch-1"] = "configuring"
    answer = await gro.order(internet())
    await gro.until(answer, "inProgress", "verify", "held")
    await gro.call("POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": answer.json()["id"]}})
    done = await gro.finished(answer)
    assert done["state"] == "cancelled"
    assert [m["name"] for m in done["milestone"]][-3:] == ["undo network", "undo devices", "undo reserve"]
    assert gro.network.controller.ordered == {"vpns": set(), "sites": set()}


async def test_a_refusal_of_the_controller_is_the_orders_error(gro: Any) -> None:
    gro.network.controller.refusal = "port lan is taken"
    failed = await gro.finished(await gro.order(internet()))
    assert failed["state"] == "failed"
    assert "port lan is taken" in failed["errorMessage"][0]["reason"]
    assert (await services(gro))[0]["state"] == "terminated"


async def test_a_controller_that_is_away_delays_an_order_and_fails_none(gro: Any) -> None:
    await gro.network.controller.go(down=True)
    answer = await gro.order(internet())
    await gro.until(answer, "inProgress", "devices", "retrying")
    await gro.network.controller.go(down=False)
    assert (await gro.finished(answer))["state"] == "completed"


async def test_tenants_see_nothing_of_each_other(gro: Any) -> None:
    answer = await gro.order(internet())
    await gro.finished(answer)
    service = (await services(gro))[0]
    assert await services(gro, "rival") == []
    assert len(await services(gro, None)) == 1, "an administrator sees all"
    for path in (answer.json()["href"], service["href"], answer.json()["href"] + "/events"):
        assert (await gro.call("GET", path, tenant="rival")).status_code == 404, path
    for method in ("PATCH", "DELETE"):
        assert (await gro.call(method, answer.json()["href"], {}, tenant="rival")).status_code == 404
    delete = {"id": "1", "action": "delete", "service": {"id": service["id"]}}
    assert (await gro.order(delete, tenant="rival")).status_code == 400
    cancel = {"serviceOrder": {"id": answer.json()["id"]}}
    assert (await gro.call("POST", f"{ORDERING}/cancelServiceOrder", cancel, "rival")).status_code == 400
    assert (await gro.call("GET", "/sites", tenant="rival")).json() == []


def without(item: dict[str, Any], *path: Any) -> dict[str, Any]:
    item = {**item, "service": {**item["service"]}}
    target = item
    for step in path[:-1]:
        target = target[step]
    del target[path[-1]]
    return item


S = "/serviceOrderItem/0/service"
V = f"{S}/serviceCharacteristic/0/value"


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({**internet(), "action": "replace"}, "/serviceOrderItem/0/action"),
        ({**internet(), "action": "modify"}, f"{S}/id"),
        ({"id": "1", "action": "modify", "service": {"id": "none"}}, f"{S}/id"),
        ({**internet(), "colour": "red"}, "/serviceOrderItem/0/colour"),
        (without(internet(), "id"), "/serviceOrderItem/0/id"),
        (without(internet(), "service", "serviceSpecification"), f"{S}/serviceSpecification"),
        (without(internet(), "service", "serviceCharacteristic"), f"{S}/serviceCharacteristic"),
        (add("1", "Site to Moon", site(1)), f"{S}/serviceSpecification/name"),
        (add("1", "Site to Internet", site(1, vlan=4095)), f"{V}/vlan"),
        (add("1", "Site to Internet", site(1, access="carrier pigeon")), f"{V}/access"),
        (add("1", "Site to Internet", site(1, gateway="10.1.0.0/24")), f"{V}/gateway"),
        (add("1", "Site to Internet", site(1, gateway="10.1.0.999/24")), f"{V}/gateway"),
        (add("1", "Site to Internet", {"name": "branch-9"}), f"{V}/device"),
        (add("1", "Site to Site", [site(1)]), V),
        (add("1", "Site to Site", [site(1), site(1)]), f"{V}/1/name"),
        (add("1", "Site to Site", [site(1), site(2, device="S1")]), f"{V}/1/device"),
        (add("1", "Site to Site", [site(1), site(2, gateway="10.1.0.129/25")]), f"{V}/1/gateway"),
        ({"id": "1", "action": "delete", "service": {"id": "none"}}, f"{S}/id"),
    ],
)
async def test_a_bad_item_is_refused_by_the_pointer_of_its_member(gro: Any, item: Any, pointer: str) -> None:
    answer = await gro.order(item)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await gro.call("GET", f"{ORDERING}/serviceOrder")).json() == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/serviceOrderItem"),
        ({"serviceOrderItem": []}, "/serviceOrderItem"),
        ({"serviceOrderItem": {}}, "/serviceOrderItem"),
        ({"serviceOrderItem": [internet()], "state": "completed"}, "/state"),
        ({"serviceOrderItem": [internet()], "description": "a\0b"}, "/description"),
        (
            {"serviceOrderItem": [internet()], "relatedParty": [{"role": "customer", "id": "rival"}]},
            "/relatedParty/0/id",
        ),
    ],
)
async def test_a_bad_order_is_refused_by_the_pointer_of_its_member(gro: Any, body: Any, pointer: str) -> None:
    answer = await gro.call("POST", f"{ORDERING}/serviceOrder", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_an_administrator_names_the_customer(gro: Any) -> None:
    body: dict[str, Any] = {"serviceOrderItem": [internet()]}
    refused = await gro.call("POST", f"{ORDERING}/serviceOrder", body, None)
    assert refused.json()["errors"][0]["pointer"] == "/relatedParty"
    body["relatedParty"] = [{"role": "customer", "id": "acme"}]
    assert (await gro.finished(await gro.call("POST", f"{ORDERING}/serviceOrder", body, None)))["state"] == "completed"


async def test_lists_are_filtered_paged_and_cut(gro: Any) -> None:
    for number in (1, 2, 3):
        await gro.finished(await gro.order(internet(number)))
    part = await gro.call("GET", f"{ORDERING}/serviceOrder?state=completed&offset=1&limit=1&fields=state")
    assert (part.status_code, part.headers["x-total-count"], part.headers["x-result-count"]) == (206, "3", "1")
    assert set(part.json()[0]) == {"id", "href", "@type", "state"}
    assert (await gro.call("GET", f"{ORDERING}/serviceOrder?state=failed")).json() == []
    assert (await gro.call("GET", f"{ORDERING}/serviceOrder?limit=-1")).status_code == 400


async def test_patch_delete_and_media_types(gro: Any) -> None:
    await gro.network.unplug_all()
    answer = await gro.order(internet())
    href = answer.json()["href"]
    assert (await gro.call("PATCH", href, {"description": "urgent"})).json()["description"] == "urgent"
    assert (await gro.call("PATCH", href, {"state": "completed"})).json()["errors"][0]["pointer"] == "/state"
    assert (await gro.call("DELETE", href)).status_code == 409
    assert (await gro.call("PUT", href, {})).status_code == 405
    text: httpx.Response = await gro.client.post(f"{ORDERING}/serviceOrder", content="x", headers={"x-tenant": "acme"})
    assert text.status_code == 415
    assert (await gro.client.get(f"{ORDERING}/serviceOrder")).status_code == 401


async def test_a_plan_shows_edits_and_writes_nothing(gro: Any) -> None:
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [internet()]})
    assert plan.status_code == 200, plan.text
    assert plan.json()["edit"][0]["device"] == "ucpe-s1"
    assert (await gro.call("GET", f"{ORDERING}/serviceOrder")).json() == []
    assert gro.network.controller.intent == {}


async def test_a_plan_with_an_unregistered_device_says_so(gro: Any) -> None:
    await gro.network.unplug_all()
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [internet()]})
    assert (plan.status_code, plan.json()["detail"]) == (422, "device S1 of site branch-1 is not registered for acme")


async def test_a_plan_does_not_mind_orders_that_are_held(gro: Any) -> None:
    held = await gro.order(internet(7))
    await gro.until(held, "held", "devices", "held")
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", {"serviceOrderItem": [internet()]})
    assert plan.status_code == 200, plan.text


async def test_steps_are_streamed_to_their_end(gro: Any) -> None:
    answer = await gro.order(internet())
    stream = await gro.call("GET", answer.json()["href"] + "/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert '"state": "completed"' in stream.text
    assert stream.text.count("event: step") >= 5


async def test_the_catalogue_is_served(gro: Any) -> None:
    base = "/tmf-api/serviceCatalogManagement/v4"
    for kind in ("serviceSpecification", "serviceCandidate", "serviceCategory", "serviceCatalog"):
        found = (await gro.call("GET", f"{base}/{kind}")).json()
        assert found
        assert (await gro.call("GET", found[0]["href"])).json()["id"] == found[0]["id"]
    assert (await gro.call("GET", f"{base}/serviceDream")).status_code == 404


async def test_listeners_are_told_in_order_and_only_of_their_tenant(gro: Any) -> None:
    callback = {"callback": gro.listener.url}
    subscribed = await gro.call("POST", f"{ORDERING}/hub", callback)
    assert subscribed.status_code == 201
    await gro.call("POST", f"{ORDERING}/hub", callback, "rival")
    await gro.finished(await gro.order(internet()))
    events = await gro.listener.until("completed")
    states = [event["event"]["serviceOrder"]["state"] for event in events]
    assert (states[0], states[-1]) == ("acknowledged", "completed")
    assert len(states) == len({event["eventId"] for event in events})
    assert (await gro.call("DELETE", subscribed.headers["location"], tenant="rival")).status_code == 404
    assert (await gro.call("DELETE", subscribed.headers["location"])).status_code == 204


async def test_a_tenant_has_so_many_listeners_and_no_more(gro: Any) -> None:
    async def subscribe(tenant: str) -> httpx.Response:
        return await gro.call("POST", f"{ORDERING}/hub", {"callback": gro.listener.url}, tenant)

    made = [await subscribe("acme") for _ in range(20)]
    full = await subscribe("acme")
    assert (full.status_code, full.headers["content-type"]) == (409, "application/problem+json")
    assert (await subscribe("rival")).status_code == 201, "each has its own"
    await gro.call("DELETE", made[0].headers["location"])
    assert (await subscribe("acme")).status_code == 201


async def test_a_listener_that_fails_is_told_again_and_keeps_no_other_waiting(gro: Any) -> None:
    async with serving(other := Listener(status=503)) as (url,):
        for callback in (url, gro.listener.url):
            await gro.call("POST", f"{ORDERING}/hub", {"callback": callback})
        await gro.finished(await gro.order(internet()))
        events = list(await gro.listener.until("completed"))
        assert other.events == []
        other.status = 204
        assert await other.until("completed") == events, "the same events in the same order"


@pytest.mark.parametrize(
    "url",
    [
        "http://user@listener.example/",
        "http:///",
        "http://[",
        "http://listener.example/#there",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/meta",
        "http://[::ffff:127.0.0.1]/",
        "ftp://x/",
        "x",
    ],
)
async def test_callbacks_into_the_inside_are_refused(gro: Any, url: str) -> None:
    gro.desk.allow_internal = False
    answer = await gro.call("POST", f"{ORDERING}/hub", {"callback": url})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/callback")

"""Services that are changed while they run (TMF641, action `modify`): what is given counts from then on, the rest
stays; whatever ends such an order badly leaves everything as it was.
"""

from typing import Any

import pytest

from tests.unit.gro.test_characteristics import CLOUD, KEY, RULES, bridged, dc
from tests.unit.gro.test_orders import ORDERING, S, V, add, services, site

ORDERS = f"{ORDERING}/serviceOrder"


def modify(service: str, item: str = "1", **values: Any) -> dict[str, Any]:
    given = [{"name": name, "value": value} for name, value in values.items()]
    return {"id": item, "action": "modify", "service": {"id": service, "serviceCharacteristic": given}}


async def bought(gro: Any, *items: Any) -> list[str]:
    """Ids of new services, in the order of the items."""
    done = await gro.finished(await gro.order(*items))
    assert done["state"] == "completed", done
    return [item["service"]["id"] for item in done["serviceOrderItem"]]


def access(gro: Any, name: str = "branch-1") -> dict[str, Any]:
    """The site's access in the intent."""
    sites = {one["site-id"]: one for one in gro.network.controller.intent["sites"]["site"]}
    found: dict[str, Any] = sites[f"acme.{name}"]["site-network-accesses"]["site-network-access"][0]
    return found


async def state(gro: Any) -> Any:
    """All that can be seen of what is there."""
    return [gro.network.controller.intent, await services(gro), (await gro.call("GET", "/sites")).json()]


async def test_a_policy_changes_without_the_service_ending(gro: Any) -> None:
    (service,) = await bought(gro, add("1", "Site to Internet", site(1)))
    changed = site(1, localInternet={"default": "pop", "rules": [RULES[0]]}, dns={})
    order = await gro.order(modify(service, site=changed))
    done = await gro.finished(order)
    assert done["state"] == "completed", done
    assert done["milestone"][0]["evidence"]["modify"] == [service]
    assert access(gro)["elasticlab-access:access"]["local-internet"]["default"] == "pop"
    (found,) = await services(gro)
    assert found["serviceCharacteristic"] == [{"name": "site", "value": changed}]
    assert found["serviceOrderItem"][1] == {"serviceOrderId": done["id"], "itemId": "1"}
    assert gro.network.controller.ordered == {"vpns": {service}, "sites": {"acme.branch-1"}}
    # What a whole site does not say is not so any more.
    done = await gro.finished(await gro.order(modify(service, site=site(1))))
    assert "local-internet" not in access(gro)["elasticlab-access:access"]


async def test_a_site_joins_and_another_leaves(gro: Any) -> None:
    mesh, internet = await bought(
        gro, add("1", "Site to Site", [site(1), site(2), site(3)]), add("2", "Site to Internet", {"name": "branch-2"})
    )
    sites = [{"name": "branch-1"}, bridged(4)]
    done = await gro.finished(await gro.order(modify(mesh, sites=sites, directPaths=True)))
    assert done["state"] == "completed", done
    names = {"acme.branch-1", "acme.branch-2", "acme.branch-4"}
    assert gro.network.controller.ordered == {"vpns": {mesh, internet}, "sites": names}
    assert access(gro, "branch-2")["vpn-attachment"]["vpn-id"] == internet, "it is in the other service only"
    evidence = done["milestone"][3]["evidence"]
    states = {name: evidence[f"branch-{name}"]["state"] for name in (1, 2, 3, 4)}
    assert states == {1: "changed", 2: "changed", 3: "gone", 4: "up"}
    assert len((await gro.call("GET", "/sites")).json()) == 3
    told = {one["name"]: one["value"] for one in (await services(gro))[0]["serviceCharacteristic"]} | {}
    assert told in ({"sites": sites, "directPaths": True}, {"site": {"name": "branch-2"}})


async def test_a_change_does_not_wait_for_sites_and_clouds_that_it_leaves_as_they_are(gro: Any) -> None:
    mesh, cloud = await bought(
        gro, add("1", "Site to Site", [site(1), site(2), site(3)]), dc("2", [{"name": "branch-1"}])
    )
    gro.network.controller.site("acme.branch-3", "down", "ucpe-s3 is not connected")
    gro.network.controller.cloud(cloud, "down")
    sites = [site(1, gateway="10.1.0.254/24"), {"name": "branch-2"}, {"name": "branch-3"}]
    done = await gro.finished(await gro.order(modify(mesh, sites=sites)))
    assert done["state"] == "completed", done
    evidence = done["milestone"][3]["evidence"]
    assert [evidence[f"branch-{n}"]["state"] for n in (1, 2, 3)] == ["up", "changed", "changed"]
    done = await gro.finished(await gro.order(modify(cloud, sites=[{"name": "branch-1"}, {"name": "branch-2"}])))
    assert done["state"] == "completed", done
    assert done["milestone"][3]["evidence"][f"cloud of {cloud}"] == {"state": "changed"}
    # What is changed is waited for.
    order = await gro.order(modify(cloud, cloud={**CLOUD, "ikeMode": "ikev1-main"}))
    await gro.until(order, "inProgress", "verify", "held")
    gro.network.controller.cloud(cloud, "up")
    assert (await gro.finished(order))["state"] == "completed"


async def test_a_site_that_is_left_as_it_is_still_gets_what_others_change(gro: Any) -> None:
    (mesh,) = await bought(gro, add("1", "Site to Site", [site(1), site(2)]))
    gro.network.controller.slow.add("acme.branch-2")
    order = await gro.order(modify(mesh, sites=[site(1, gateway="10.1.0.254/24"), {"name": "branch-2"}]))
    waits = await gro.until(order, "inProgress", "verify", "held")
    assert waits["milestone"][-1]["message"] == "site branch-2 is being changed"
    gro.network.controller.site("acme.branch-2", "down")
    assert (await gro.finished(order))["state"] == "completed"


async def test_services_that_share_a_site_all_tell_how_it_is_now(gro: Any) -> None:
    other = add("2", "Site to Site", [{**site(1), "encapsulation": "gre"}, site(2)])
    internet, mesh, named = await bought(
        gro, add("1", "Site to Internet", site(1)), other, add("3", "Site to Internet", {"name": "branch-1"})
    )
    (before,) = (one for one in await services(gro) if one["id"] == mesh)
    assert before["serviceCharacteristic"][0]["value"] == [{**site(1), "encapsulation": "gre"}, site(2)], (
        "as it was said"
    )
    await gro.call("POST", "/tmf-api/serviceInventory/v4/hub", {"callback": gro.listener.url})
    await gro.call("POST", f"{ORDERING}/hub", {"callback": gro.listener.url})
    moved = site(1, gateway="10.1.0.254/24")
    now = {**moved, "port": "lan"}
    await gro.finished(await gro.order(modify(internet, site=moved)))
    found = {one["id"]: one["serviceCharacteristic"][0]["value"] for one in await services(gro)}
    assert found == {internet: moved, mesh: [now, site(2)], named: {"name": "branch-1"}}
    read = await gro.call("GET", f"/tmf-api/serviceInventory/v4/service/{mesh}")
    assert read.json()["serviceCharacteristic"][0]["value"] == [now, site(2)]

    def told() -> dict[str, Any]:
        changes = (one for one in gro.listener.events if one["eventType"] == "ServiceAttributeValueChangeEvent")
        services = (one["event"]["service"] for one in changes)
        return {service["id"]: service["serviceCharacteristic"][0]["value"] for service in services}

    await gro.listener.until("completed")
    await gro.listener.heard(lambda: set(told()) >= set(found))
    assert told() == found
    # Who gives back what he has read changes nothing.
    await gro.finished(await gro.order(modify(mesh, sites=found[mesh])))
    assert {one["id"]: one["serviceCharacteristic"][0]["value"] for one in await services(gro)} == found
    assert access(gro)["ip-connection"]["ipv4"]["addresses"]["provider-address"] == "10.1.0.254"


async def test_a_plan_shows_what_a_change_would_do_and_does_nothing(gro: Any) -> None:
    (service,) = await bought(gro, add("1", "Site to Internet", site(1)))
    before = await state(gro)
    body = {"serviceOrderItem": [modify(service, site=site(1, gateway="10.1.0.254/24"))]}
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", body)
    assert plan.status_code == 200
    assert "10.1.0.254" in str(plan.json()["intent"])
    assert await state(gro) == before


async def test_a_cloud_keeps_its_key_until_another_is_given(gro: Any) -> None:
    def gateway() -> dict[str, Any]:
        (vpn,) = gro.network.controller.intent["vpn-services"]["vpn-service"]
        found: dict[str, Any] = vpn["cloud-accesses"]["cloud-access"][0]["elasticlab-access:gateway"]
        return found

    (service,) = await bought(gro, dc(sharedKey=KEY))
    done = await gro.finished(await gro.order(modify(service, cloud={**CLOUD, "ikeMode": "ikev1-main"})))
    assert done["state"] == "completed", done
    assert (gateway()["shared-key"], gateway()["ike-mode"]) == (KEY, "ikev1-main")
    done = await gro.finished(await gro.order(modify(service, cloud={**CLOUD, "sharedKey": "x" * 30})))
    assert gateway()["shared-key"] == "x" * 30
    assert "xxx" not in str(done)
    assert "xxx" not in str(await services(gro))
    refused = await gro.order(modify(service, cloud={**CLOUD, "ikeMode": "ikev1-aggressive"}))
    assert refused.json()["errors"][0]["pointer"] == f"{V}/ikeMode", "with the key that it keeps"


@pytest.mark.parametrize("end", ["refused", "held", "cancelled", "failed"])
async def test_a_change_that_ends_badly_leaves_everything_as_it_was(gro: Any, end: str) -> None:
    mesh, _ = await bought(gro, add("1", "Site to Site", [site(1), site(2)]), dc("2", [site(3)], sharedKey=KEY))
    before = await state(gro)
    controller = gro.network.controller
    items = modify(mesh, sites=[site(1, gateway="10.1.0.254/24"), {"name": "branch-2"}, bridged(4)])
    if end == "refused":
        controller.refusal, controller.refused = "not today", "10.1.0.254"
    elif end == "held":
        await gro.network.unplug_all()
    elif end == "cancelled":
        controller.slow.add("acme.branch-1")
    else:
        controller.states["acme.branch-4"] = "failed"
        controller.refuses("ucpe-s4")
    order = await gro.order(items)
    if end in ("cancelled", "held"):
        await (gro.until(order, "held") if end == "held" else gro.until(order, "inProgress", "verify", "held"))
        controller.slow.clear()
        await gro.call("POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order.json()["id"]}})
    done = await gro.finished(order)
    assert done["state"] == ("cancelled" if end in ("cancelled", "held") else "failed"), done
    now = await state(gro)
    assert now[0] == before[0]
    assert now[1] == before[1]
    assert [one["name"] for one in now[2]] == [one["name"] for one in before[2]]
    assert (await gro.order(items)).status_code == 201, "nothing is reserved any more"


async def test_as_long_as_an_order_is_open_no_other_touches_what_it_changes(gro: Any) -> None:
    mesh, internet = await bought(
        gro,
        add("1", "Site to Site", [site(1), bridged(2, device="S1", port="lan2", vlan=7)]),
        add("2", "Site to Internet", {"name": "branch-1"}),
    )
    gro.network.controller.slow.add("acme.branch-2")
    moved = [{"name": "branch-1"}, bridged(2, device="S1", port="lan2", vlan=8)]
    order = await gro.order(modify(mesh, sites=moved))
    await gro.until(order, "inProgress", "verify", "held")
    for item in (modify(mesh, directPaths=True), {"id": "1", "action": "delete", "service": {"id": mesh}}):
        answer = await gro.order(item)
        assert (answer.status_code, answer.json()["title"]) == (409, "Service is being changed")
    for vlan in (7, 8):
        taken = await gro.order(add("1", "Site to Internet", bridged(5, device="S1", port="lan2", vlan=vlan)))
        assert taken.json()["errors"][0]["pointer"] == f"{V}/vlan", "what was may come again"
    gro.network.controller.slow.clear()
    gro.network.controller.site("acme.branch-2", "up")
    assert (await gro.finished(order))["state"] == "completed"
    assert (
        await gro.order(add("1", "Site to Internet", bridged(5, device="S1", port="lan2", vlan=7)))
    ).status_code == 201
    assert (await gro.order(modify(internet, site=site(1, dns={})))).status_code == 201


@pytest.mark.parametrize(
    ("after", "comes", "place"),
    [
        ({"vlan": 8}, {"vlan": 7}, "/vlan"),
        ({"vlan": 7, "port": "lan3"}, {"vlan": 7}, "/vlan"),
    ],
)
async def test_a_place_is_free_when_the_order_that_frees_it_has_ended(
    gro: Any, after: Any, comes: Any, place: str
) -> None:
    (internet,) = await bought(gro, add("1", "Site to Internet", bridged(1, port="lan2", vlan=7)))
    moves = modify(internet, site=bridged(1, **{"port": "lan2", **after}))
    new = add("2", "Site to Internet", bridged(2, device="S1", port="lan2", **comes))
    for path in ("orderPlan", "serviceOrder"):
        refused = await gro.call("POST", f"{ORDERING}/{path}", {"serviceOrderItem": [moves, new]})
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["pointer"] == V.replace("/0/", "/1/", 1) + place
    assert (await gro.finished(await gro.order(moves)))["state"] == "completed"
    assert (await gro.finished(await gro.order(new)))["state"] == "completed"


async def test_two_sites_exchange_their_places(gro: Any) -> None:
    (mesh,) = await bought(gro, add("1", "Site to Site", [bridged(1, vlan=7), bridged(2, device="S1", vlan=8)]))
    swapped = [bridged(1, vlan=8), bridged(2, device="S1", vlan=7)]
    done = await gro.finished(await gro.order(modify(mesh, sites=swapped)))
    assert done["state"] == "completed", done
    assert access(gro)["elasticlab-access:access"]["vlan"] == 8


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"site": site(1, device="S2")}, "/device"),
        ({"site": bridged(1)}, "/access"),
        ({"site": {"name": "branch-1", "gateway": "10.1.0.254/24"}}, "/device"),
        ({"site": site(1, dhcp={"start": "10.1.0.1", "end": "10.1.0.9"})}, "/dhcp/start"),
        ({"site": site(1, gateway="10.2.0.1/16")}, "/gateway"),
        ({"site": site(2, gateway="10.2.0.254/24")}, "/gateway"),
        ({"site": {"name": "branch-9"}}, "/device"),
        ({"sites": [site(1), site(2)]}, None),
        ({"site": site(1, vlan=4095)}, "/vlan"),
    ],
)
async def test_a_bad_change_is_refused_by_the_pointer_of_its_member(gro: Any, values: Any, place: str | None) -> None:
    service, _ = await bought(gro, add("1", "Site to Internet", site(1)), add("2", "Site to Internet", site(2)))
    before = await state(gro)
    answer = await gro.order(modify(service, **values))
    pointer = f"{S}/serviceCharacteristic/0/name" if place is None else V + place
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), answer.text
    assert await state(gro) == before


async def test_a_service_is_not_another_tenants_to_change_nor_of_another_kind(gro: Any) -> None:
    (service,) = await bought(gro, add("1", "Site to Internet", site(1)))
    theirs = await gro.order(modify(service, site={"name": "branch-1"}), tenant="rival")
    none = await gro.order(modify("none", site={"name": "branch-1"}), tenant="rival")
    assert (theirs.status_code, theirs.json()["detail"]) == (400, none.json()["detail"])
    other = modify(service)
    other["service"]["serviceSpecification"] = {"id": "site-to-site"}
    assert (await gro.order(other)).json()["errors"][0]["pointer"] == f"{S}/serviceSpecification"
    twice = await gro.order(modify(service), {"id": "2", "action": "delete", "service": {"id": service}})
    assert twice.json()["errors"][0]["pointer"] == "/serviceOrderItem/1/service/id"


async def test_listeners_are_told_of_a_change(gro: Any) -> None:
    (service,) = await bought(gro, add("1", "Site to Internet", site(1)))
    await gro.call("POST", "/tmf-api/serviceInventory/v4/hub", {"callback": gro.listener.url})
    await gro.call("POST", f"{ORDERING}/hub", {"callback": gro.listener.url})
    await gro.finished(await gro.order({**modify(service), "service": {"id": service, "name": "the branch"}}))
    events = await gro.listener.until("completed")
    (told,) = [event for event in events if event["eventType"] == "ServiceAttributeValueChangeEvent"]
    assert told["event"]["service"]["name"] == "the branch"

"""Events instead of polling: what wakes an order, what is not asked meanwhile, what a lost connection loses (nothing),
and what `/sites/events` tells.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gro import fulfilment, streams
from gro.watch import REGISTRY, Waiting

from tests.unit.gro.test_characteristics import dc

ORDERING = "/tmf-api/serviceOrdering/v4"
# Far below every poll, far above what a busy machine needs.
SOON = 3.0


@pytest.fixture(autouse=True)
def _no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safety net is for events that never came: here they come."""
    assert min(fulfilment.DEVICES_RECHECK, fulfilment.VERIFY_RECHECK) >= 5
    monkeypatch.setattr(fulfilment, "DEVICES_RECHECK", 600.0)
    monkeypatch.setattr(fulfilment, "VERIFY_RECHECK", 600.0)


def internet(number: int = 1) -> dict[str, Any]:
    site = {"name": f"branch-{number}", "device": f"S{number}", "access": "routed", "gateway": f"10.{number}.0.1/24"}
    service = {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": "site", "value": site}],
    }
    return {"id": "1", "action": "add", "service": service}


async def completed(gro: Any, order: Any) -> float:
    return await ended(gro, order, "completed")


async def ended(gro: Any, order: Any, state: str) -> float:
    """Seconds until it had."""
    begun = time.monotonic()
    assert (await gro.finished(order))["state"] == state
    return time.monotonic() - begun


async def test_a_device_that_comes_wakes_the_order_that_waits_for_it(gro: Any) -> None:
    gro.network.controller.device("ucpe-s1", connected=False)
    order = await gro.order(internet())
    held = await gro.until(order, "held", "devices", "held")
    assert held["milestone"][-1]["message"] == "device S1 of site branch-1 is not connected: plug it in"
    gro.network.controller.device("ucpe-s1", connected=True)
    assert await completed(gro, order) < SOON


async def test_a_device_that_is_registered_when_it_is_there_already_wakes_the_order(gro: Any) -> None:
    """The registry's own events do: nothing happens in the network."""
    await gro.network.manager.clear()
    gro.network.controller.device("ucpe-s1", connected=True)
    order = await gro.order(internet())
    await gro.until(order, "held", "devices", "held")
    await gro.network.manager.register("S1", "ucpe-s1", "acme")
    assert await completed(gro, order) < SOON


async def test_an_end_waits_until_the_sites_that_stay_have_changed(gro: Any) -> None:
    """What was bought is gone when the order says so; that the site's tunnel is cut is another matter."""
    await gro.finished(await gro.order(internet()))
    site = {"name": "branch-1"}
    second = {"serviceSpecification": {"id": "site-to-internet"}}
    second |= {"serviceCharacteristic": [{"name": "site", "value": site}]}
    more = await gro.order({"id": "1", "action": "add", "service": second})
    await gro.finished(more)
    service = (await gro.call("GET", f"{ORDERING}/serviceOrder/{more.json()['id']}")).json()
    ended = service["serviceOrderItem"][0]["service"]["id"]
    gro.network.controller.slow.add("acme.branch-1")
    order = await gro.order({"id": "1", "action": "delete", "service": {"id": ended}})
    waiting = await gro.until(order, "inProgress", "verify", "held")
    assert waiting["milestone"][-1]["message"] == "site branch-1 is being changed"
    gro.network.controller.site("acme.branch-1", "down", "its tunnel is cut")
    assert await completed(gro, order) < SOON


async def cancelled_at_work(gro: Any) -> Any:
    """An order whose devices are slow: cancelled, and taken back from the intent. They have it still."""
    controller = gro.network.controller
    controller.slow.add("acme.branch-1")
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    await gro.call("POST", f"{ORDERING}/cancelServiceOrder", {"serviceOrder": {"id": order.json()["id"]}})
    waiting = await gro.until(order, "pendingCancellation", "undo devices", "held")
    assert waiting["milestone"][-1]["message"] == "site branch-1 is down still (its tunnel is cut)"
    assert controller.ordered == {"vpns": set(), "sites": set()}
    return order


async def test_a_cancellation_is_over_when_the_devices_have_let_go(gro: Any) -> None:
    """Until then packets pass."""
    order = await cancelled_at_work(gro)
    gro.network.controller.gone("acme.branch-1")
    assert await ended(gro, order, "cancelled") < SOON


async def test_a_cancellation_is_over_when_its_site_is_wanted_again_and_as_it_is_wanted(gro: Any) -> None:
    order = await cancelled_at_work(gro)
    other = await gro.order(internet())
    await gro.until(other, "inProgress", "verify", "held")
    gro.network.controller.site("acme.branch-1", "up")
    assert await ended(gro, order, "cancelled") < SOON
    assert await completed(gro, other) < SOON


async def test_a_device_that_is_registered_and_comes_wakes_the_order(gro: Any) -> None:
    await gro.network.unplug_all()
    order = await gro.order(internet())
    await gro.until(order, "held", "devices", "held")
    await gro.network.plug_in("S1")
    assert await completed(gro, order) < SOON


@pytest.mark.parametrize("status", ["quarantined", "revoked"])
async def test_a_device_that_is_barred_is_not_used_though_it_is_connected(gro: Any, status: str) -> None:
    await gro.network.plug_in("S1", status=status)
    held = await gro.until(await gro.order(internet()), "held", "devices", "held")
    assert f"device S1 of site branch-1 is {status}" in held["milestone"][-1]["message"]
    assert gro.network.controller.intent == {}


async def test_a_site_that_comes_up_ends_the_order(gro: Any) -> None:
    gro.network.controller.states["acme.branch-1"] = "configuring"
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    gro.network.controller.site("acme.branch-1", "up")
    assert await completed(gro, order) < SOON


async def test_a_site_that_fails_ends_the_order_with_its_reason(gro: Any) -> None:
    gro.network.controller.states["acme.branch-1"] = "configuring"
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    gro.network.controller.refuses("ucpe-s1")
    gro.network.controller.site("acme.branch-1", "failed", "the port lan is taken")
    failed = await gro.finished(order)
    assert (failed["state"], failed["errorMessage"][0]["reason"]) == (
        "failed",
        "verify: site branch-1: the port lan is taken",
    )


async def test_a_site_that_fails_by_the_pop_waits_until_that_is_mended(gro: Any) -> None:
    """Many have a part in the POP's configuration: whose fault it is that it refuses nobody knows."""
    reason = "POP router vmsr-1 has not taken its configuration"
    gro.network.controller.states["acme.branch-1"] = "configuring"
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    gro.network.controller.site("acme.branch-1", "failed", reason)
    waits = await gro.until(order, "inProgress", "verify", "held", "vmsr-1")
    assert waits["milestone"][-1]["message"] == f"site branch-1 is failed ({reason})"
    gro.network.controller.site("acme.branch-1", "up")
    assert await completed(gro, order) < SOON


async def test_a_site_that_the_pop_refuses_for_its_own_sake_fails_its_order_in_the_pops_words(gro: Any) -> None:
    gro.network.controller.states["acme.branch-1"] = "configuring"
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    reason = "vmsr-1: link vxlan-1020 is there already"
    gro.network.controller.site("acme.branch-1", "failed", reason, refused_by="vmsr-1")
    failed = await gro.finished(order)
    assert (failed["state"], failed["errorMessage"][0]["reason"]) == ("failed", f"verify: site branch-1: {reason}")


async def test_a_cloud_that_the_pop_refuses_fails_its_order_though_its_sites_wait(gro: Any) -> None:
    """It is the POP's alone: undone, it stands in nobody's way any more."""
    gro.network.controller.states["acme.branch-1"] = "failed"
    gro.network.controller.cloud_state = "failed"
    failed = await gro.finished(await gro.order(dc()))
    assert (failed["state"], "the cloud of service" in failed["errorMessage"][0]["reason"]) == ("failed", True)


async def test_while_an_order_is_held_nobody_is_asked_and_others_events_wake_it_not(gro: Any) -> None:
    gro.network.controller.device("ucpe-s1", connected=False)
    await gro.until(await gro.order(internet()), "held", "devices", "held")
    before = list(gro.network.manager.requests)
    gro.network.controller.device("ucpe-s2", connected=False)
    gro.network.controller.device("ucpe-s2", connected=True)
    assert (await gro.finished(await gro.order(internet(2))))["state"] == "completed"
    asked = gro.network.manager.requests[len(before) :]
    assert [path.rpartition("=")[2] for path in asked] == ["S2"], "only the other order asked for its device"


async def test_what_happens_while_the_controller_is_away_is_not_lost(gro: Any) -> None:
    gro.network.controller.states["acme.branch-1"] = "configuring"
    order = await gro.order(internet())
    await gro.until(order, "inProgress", "verify", "held")
    await gro.network.controller.go(down=True)
    gro.network.controller.site("acme.branch-1", "up")
    await gro.network.controller.go(down=False)
    assert await completed(gro, order) < 6 + SOON, "the longest pause between attempts, and a moment"


@contextlib.asynccontextmanager
async def following(gro: Any, tenant: str | None = "acme") -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Events of /sites/events."""

    async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
        kind = ""
        async for line in lines:
            if line.startswith("event:"):
                kind = line[7:]
            elif line.startswith("data:"):
                yield kind, json.loads(line[6:])
            elif line.startswith(":"):
                yield "comment", line

    headers = {"x-tenant": tenant or ""}
    async with asyncio.timeout(20), gro.client.stream("GET", "/sites/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = events(stream.aiter_lines())
        assert await anext(found) == ("comment", ": still here")
        yield found


async def test_sites_are_told_as_they_are_ordered_change_and_go(gro: Any) -> None:
    async with following(gro) as events:
        order = await gro.finished(await gro.order(internet()))
        seen = []
        while not seen or seen[-1]["state"] != "up":
            kind, site = await anext(events)
            assert (kind, site["id"], site["device"]) == ("site", "acme.branch-1", "S1")
            seen.append(site)
        assert seen[0]["state"] == "unknown", "ordered, and not known to the controller yet"
        gro.network.controller.site("acme.branch-1", "down", "no answer to the probe")
        kind, site = await anext(events)
        assert (kind, site["state"], site["reason"]) == ("site", "down", "no answer to the probe")
        gro.network.controller.site("acme.branch-1", "up")
        assert (await anext(events))[1]["state"] == "up"
        end = {"id": "1", "action": "delete", "service": {"id": order["serviceOrderItem"][0]["service"]["id"]}}
        await gro.finished(await gro.order(end))
        while (found := await anext(events))[0] == "site":
            pass
        assert found == ("gone", {"id": "acme.branch-1"})


async def test_an_administrator_follows_all_and_begins_with_what_is_there(gro: Any) -> None:
    await gro.finished(await gro.order(internet()))
    async with following(gro, None) as events:
        kind, site = await anext(events)
        assert (kind, site["tenant"], site["state"]) == ("site", "acme", "up")


async def test_a_controller_that_is_away_makes_sites_unknown_and_back_known(gro: Any) -> None:
    await gro.finished(await gro.order(internet()))
    async with following(gro) as events:
        assert (await anext(events))[1]["state"] == "up"
        await gro.network.controller.go(down=True)
        assert (await anext(events))[1]["state"] == "unknown"
        await gro.network.controller.go(down=False)
        assert (await anext(events))[1]["state"] == "up"


async def test_silence_is_filled_with_comments_and_no_stream_outlives_a_token(
    gro: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.02)
    async with following(gro) as events:
        assert await anext(events) == ("comment", ": still here")
        monkeypatch.setattr(streams, "LONGEST", 0.0)
    async with following(gro) as events:
        assert [event async for event in events] == []


def test_who_waits_for_what() -> None:
    waiting = Waiting()
    waiting.expect("a", {REGISTRY})
    waiting.expect("b", {"site x", "device y"})
    assert waiting.orders("device y", REGISTRY) == {"a", "b"}
    waiting.expect("a", {"site x"})
    assert (waiting.orders(REGISTRY), waiting.orders("site x")) == (set(), {"a", "b"})
    waiting.forget("b")
    assert (waiting.orders("site x"), waiting.orders("device y")) == ({"a"}, set())


async def test_our_own_time_in_an_order_is_below_the_bound(gro: Any) -> None:
    """At most 1 s of it is ours. All others answer at once here: what is left is ours and what they take of it."""
    taken = []
    for number in (1, 2, 3):
        begun = time.monotonic()
        order = await gro.order(internet(number))
        await gro.finished(order)
        taken.append(time.monotonic() - begun)
    print("seconds from POST to the end:", [f"{one:.3f}" for one in taken])
    assert min(taken) < 1

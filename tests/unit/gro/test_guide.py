"""The guide to ordering (docs/how-to/order.md): its orders can be placed, its table names all that the schemas know."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gro import catalogue

from tests.unit.gro.conftest import OFFERS, ORDERING

REPOSITORY = Path(__file__).parents[3]
GUIDE = (REPOSITORY / "docs" / "how-to" / "order.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
ORDERS = [json.loads(text) for language, text in BLOCKS if language == "json"]
CHANGE = next(text for language, text in BLOCKS if language == "python" and "modify" in text)
DEMO = json.loads((REPOSITORY / "topologies" / "demo" / "orders" / "branches.json").read_text())


class Administrator:
    """What the guide calls `orchestrator`: it calls GRO as an administrator, and raises when it is refused."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"x-tenant": ""})

    def call(self, service: str, method: str, path: str, body: Any = None) -> httpx.Response:
        assert service == "gro"
        return self._client.request(method, path, json=body).raise_for_status()


def members(schema: Any) -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield name
        yield from members(part)
    if "items" in schema:
        yield from members(schema["items"])


def test_the_table_names_every_characteristic_and_member() -> None:
    told = set(re.findall(r"`(\w+)`", "\n".join(line for line in GUIDE.splitlines() if line.startswith("| "))))
    for offer in catalogue.load(OFFERS):
        for name, one in offer.characteristics.items():
            assert {name, *members(one["valueSchema"])} <= told
    assert "sharedKey" in told, "there is something to be named"


@pytest.mark.parametrize("number", range(len(ORDERS)))
async def test_an_order_of_the_guide_is_carried_out(gro: Any, number: int) -> None:
    for serial in ("EL-1", "EL-2", "EL-3"):
        await gro.network.plug_in(serial)
    plan = await gro.call("POST", f"{ORDERING}/orderPlan", ORDERS[number]["order"])
    assert plan.status_code == 200, plan.text
    done = await gro.finished(await gro.call("POST", f"{ORDERING}/serviceOrder", ORDERS[number]["order"]))
    assert done["state"] == "completed", done


async def test_the_change_of_the_guide_is_carried_out_on_the_demo(gro: Any) -> None:
    for serial in ("EL-UCPE-0001", "EL-UCPE-0002"):
        await gro.network.plug_in(serial)
    demo = await gro.finished(await gro.call("POST", f"{ORDERING}/serviceOrder", DEMO["order"], DEMO["tenant"]))
    assert demo["state"] == "completed", demo
    names: dict[str, Any] = {"orchestrator": Administrator(gro.url)}
    await asyncio.to_thread(exec, CHANGE, names)
    async with asyncio.timeout(20):
        await gro.desk.engine.finished(names["order"]["id"])
    done = (await gro.call("GET", names["order"]["href"], tenant="acme")).json()
    assert done["state"] == "completed", done
    changed = (await gro.call("GET", f"/tmf-api/serviceInventory/v4/service/{names['branches']['id']}")).json()
    assert changed["serviceCharacteristic"] == names["change"]["serviceCharacteristic"]


def test_there_are_orders_in_the_guide() -> None:
    used = {
        item["service"]["serviceSpecification"]["id"] for one in ORDERS for item in one["order"]["serviceOrderItem"]
    }
    assert used == {one.id for one in catalogue.load(OFFERS)}

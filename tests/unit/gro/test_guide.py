"""The guide to ordering (docs/how-to/order.md): its orders can be placed, its table names all that the schemas know."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gro import catalogue

from tests.unit.gro.conftest import OFFERS, ORDERING

GUIDE = (Path(__file__).parents[3] / "docs" / "how-to" / "order.md").read_text()
ORDERS = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)]


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


def test_there_are_orders_in_the_guide() -> None:
    used = {
        item["service"]["serviceSpecification"]["id"] for one in ORDERS for item in one["order"]["serviceOrderItem"]
    }
    assert used == {one.id for one in catalogue.load(OFFERS)}

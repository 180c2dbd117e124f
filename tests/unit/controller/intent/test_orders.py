"""Each kind of order compiles to the trees that somebody has read: golden/NAME.json, made by ``golden.py``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from controller.intent import MODULES
from yangkit import Schema, Tree

from tests.unit.controller.intent import orders
from tests.unit.controller.intent.conftest import compiled

HERE = Path(__file__).parent
MODELS = HERE.parents[3] / "models" / "yang"


@pytest.fixture(scope="module")
def service_model() -> Schema:
    return Schema([MODELS], MODULES)


@pytest.mark.parametrize("name", orders.ORDERS)
def test_compiled_as_it_was_read(name: str) -> None:
    assert compiled(orders.ORDERS[name]()) == json.loads((HERE / "golden" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", orders.ORDERS)
def test_the_service_model_takes_it(name: str, service_model: Schema) -> None:
    service_model.validate(orders.ORDERS[name]())


@pytest.mark.parametrize("name", orders.ORDERS)
def test_devices_take_it(name: str, schema_of: Callable[[str], Schema]) -> None:
    for device, tree in compiled(orders.ORDERS[name]()).items():
        if tree:
            wan: Tree = {"name": "wan", "type": "iana-if-type:ethernetCsmacd"}
            tree["ietf-interfaces:interfaces"]["interface"].append(wan)
            schema_of(device).validate(tree)

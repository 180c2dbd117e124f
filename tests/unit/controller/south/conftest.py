"""Devices by themselves, and under a controller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from controller import drivers
from controller.intent import MODULES
from controller.southbound.journal import MIGRATION, Journal
from stackkit.database import Database
from yangkit.schema import Module, Schema

from tests.unit.controller.south.devices import YANG, Authority, Device, Fleet
from tests.unit.controller.south.managed import MODELS, NAMES, Box, Controller, day0


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(
        [YANG], [Module("ietf-interfaces"), Module("ietf-ip"), Module("iana-if-type"), Module("elasticlab-element")]
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "operational")


@pytest.fixture
async def fleet(schema: Schema, authority: Authority, tmp_path: Path) -> AsyncIterator[Fleet]:
    devices = {name: Device(name, schema, authority, tmp_path) for name in ("ucpe-1", "ucpe-2", "vmsr-1")}
    for device in devices.values():
        await device.start()
    made = Fleet(devices)
    await made.connect()
    yield made
    for device in devices.values():
        await device.power_cut()


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    database = Database(tmp_path / "controller.sqlite", [MIGRATION])
    yield Journal(database)
    database.close()


@pytest.fixture(scope="session")
def device_schema() -> Schema:
    modules = {module.name: module for driver in drivers.every() for module in driver.modules}
    extra = [Module("ietf-hardware"), Module("iana-hardware"), Module("elasticlab-element")]
    return Schema([YANG], [*modules.values(), *extra])


@pytest.fixture(scope="session")
def service_schema() -> Schema:
    return Schema([YANG], MODULES)


@pytest.fixture
async def devices(device_schema: Schema, authority: Any, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    authority.revoked.clear()
    made = {name: Device(name, device_schema, authority, tmp_path) for name in NAMES}
    for name, device in made.items():
        device.system = Box(MODELS[name])
        await device.start()
        await device.stores.replace_running(day0(name))
    yield made
    for device in made.values():
        device.system.talks.set()
        await device.power_cut()


@pytest.fixture
async def controller(authority: Any, service_schema: Schema, tmp_path: Path) -> AsyncIterator[Controller]:
    made = Controller(tmp_path, authority, service_schema)
    await made.start()
    yield made
    await made.stop()

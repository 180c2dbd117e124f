"""What is reported at once is written together, and what cannot be written keeps nobody else from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from controller.northbound.alarms import CLONED, REFUSED, Desk, device
from stackkit import alarms
from stackkit.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "controller.sqlite", [alarms.MIGRATION])


def active(desk: Desk) -> set[str]:
    entries: list[dict[str, Any]] = desk.tree()["ietf-alarms:alarms"]["alarm-list"]["alarm"]
    return {entry["resource"] for entry in entries if not entry["is-cleared"]}


async def written(desk: Desk, wanted: set[str]) -> None:
    running = asyncio.create_task(desk.run())
    try:
        async with asyncio.timeout(10):
            while active(desk) != wanted:  # noqa: ASYNC110 - the desk tells nobody that it has written
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


async def test_what_is_over_is_over_though_it_was_told_at_once(database: Database) -> None:
    desk = Desk(database)
    desk.device("ucpe-1", REFUSED, "who is it")
    desk.device("ucpe-2", CLONED, "twice")
    desk.admitted("ucpe-1", True)
    desk.admitted("ucpe-3", True)
    await written(desk, {device("ucpe-2")})


async def test_one_that_cannot_be_written_takes_no_other_with_it(database: Database) -> None:
    desk = Desk(database)
    desk.device("ucpe-1", "a kind without a severity", "?")
    desk.device("ucpe-2", CLONED, "twice")
    await written(desk, {device("ucpe-2")})

"""A program with one saga, run as a process of its own so that tests can kill it where it hurts.

argv: the database's path, what to do (`start`, `resume`, `cancel`), and the code's version. Effects are lines in
FOLDER/effects; a step stops for ever (to be killed) where a file FOLDER/stop-at-NAME says so, and waits for the file
FOLDER/device.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from stackkit import durable

path, action, version = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
folder = path.parent


class Database:
    def __init__(self) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 10})

        @sa.event.listens_for(self.engine, "connect")
        def durable_writes(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    def begin(self) -> Any:
        return self.engine.begin()

    def read(self) -> Any:
        return self.engine.connect()


def effect(text: str) -> None:
    with (folder / "effects").open("a") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


async def stop_here(name: str) -> None:
    if (folder / f"stop-at-{name}").exists():
        (folder / f"reached-{name}").touch()
        await asyncio.sleep(600)


def step(name: str) -> durable.Step:
    async def do(context: durable.Context) -> durable.Json:
        await stop_here(f"{name}-before")
        effect(f"do {name}")
        await stop_here(f"{name}-after")
        return {"of": name}

    async def undo(context: durable.Context, evidence: durable.Json) -> durable.Json:
        await stop_here(f"undo-{name}-before")
        effect(f"undo {name} {evidence and evidence['of']}")
        await stop_here(f"undo-{name}-after")
        return None

    return durable.Step(name, do, undo)


async def device(context: durable.Context) -> durable.Json:
    if not (folder / "device").exists():
        raise durable.Held("the device is not plugged in")
    return "plugged in"


def plan(saga: str, data: durable.Json) -> list[durable.Step]:
    names = ["reserve", "network"] if version == "1" else ["reserve", "network", "verify"]
    return [step(names[0]), durable.Step("device", device, recheck=0.05), *map(step, names[1:])]


async def main() -> None:
    database = Database()
    with database.begin() as connection:
        durable.create_tables(connection)
    engine = durable.Engine(database, {"order": plan})
    await engine.start()
    if action == "start":
        with database.begin() as connection:
            engine.submit(connection, "o1", "order", {})
        engine.launch("o1")
    if action == "cancel":
        engine.cancel("o1")
    print((await engine.finished("o1")).state)


asyncio.run(main())

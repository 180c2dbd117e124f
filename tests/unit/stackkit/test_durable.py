"""Sagas within one process: order of the journal, waiting, retries, failures, observers."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from stackkit import durable
from stackkit.durable import Context, Engine, Event, Held, Json, Later, State, Step

from tests.work import spent


class Database:
    def __init__(self, path: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}")
        with self.engine.begin() as connection:
            durable.create_tables(connection)

    def begin(self) -> Any:
        return self.engine.begin()

    def read(self) -> Any:
        return self.engine.connect()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "test.sqlite")


class World:
    """Steps that write down what they did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.events: list[tuple[str, str, str]] = []
        self.open = False

    def step(self, name: str, *outcomes: Exception, undo: Exception | None = None) -> Step:
        left = list(outcomes)

        async def do(context: Context) -> Json:
            self.done.append(name)
            if left:
                raise left.pop(0)
            return {"after": sorted(context.evidence)}

        async def back(context: Context, evidence: Json) -> Json:
            self.done.append(f"undo {name}")
            if undo:
                raise undo
            return None

        return Step(name, do, back)

    def gate(self) -> Step:
        async def do(context: Context) -> Json:
            if not self.open:
                raise Held("closed")
            return "open"

        return Step("gate", do, recheck=600)

    def observe(self, connection: sa.Connection, event: Event) -> None:
        if event.step:
            self.events.append((event.step.name, event.step.direction, event.step.phase))


async def run(database: Database, world: World, steps: Sequence[Step], **options: Any) -> tuple[Engine, durable.Saga]:
    engine = start(database, world, steps, **options)
    return engine, await engine.finished("s")


def start(database: Database, world: World, steps: Sequence[Step], **options: Any) -> Engine:
    engine = Engine(database, {"k": lambda saga, data: steps}, [world.observe], first_pause=0.001, **options)
    with database.begin() as connection:
        engine.submit(connection, "s", "k", {"n": 1})
    engine.launch("s")
    return engine


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the engine tells observers, not tests
            await asyncio.sleep(0.001)


async def until_held(engine: Engine, *sagas: str) -> None:
    for name in sagas or ("s",):
        await until(lambda name=name: engine.journal.get(name).state is State.HELD)  # type: ignore[misc,union-attr]


async def test_every_step_is_journalled_before_the_next_and_sees_earlier_evidence(database: Database) -> None:
    world = World()
    engine, saga = await run(database, world, [world.step("a"), world.step("b")])
    assert saga.state is State.DONE
    assert world.events == [("a", "do", "started"), ("a", "do", "done"), ("b", "do", "started"), ("b", "do", "done")]
    a, b = engine.journal.records("s")
    assert b.evidence == {"after": ["a"]}
    assert a.ended is not None
    assert a.started <= a.ended <= b.started


async def test_a_held_saga_waits_without_work_and_is_woken_at_once(database: Database) -> None:
    world = World()
    engine = start(database, world, [world.gate(), world.step("b")])
    await until_held(engine)
    world.open = True
    began = time.monotonic()
    engine.wake()
    assert (await engine.finished("s")).state is State.DONE
    assert time.monotonic() - began < 0.5


async def test_waking_another_saga_leaves_this_one_waiting(database: Database) -> None:
    world = World()
    engine = start(database, world, [world.gate()])
    await until_held(engine)
    world.open = True
    engine.wake("other")
    await asyncio.sleep(0.02)
    assert engine.journal.get("s").state is State.HELD  # type: ignore[union-attr]
    await engine.stop()


async def test_an_unreachable_far_end_is_tried_again(database: Database) -> None:
    world = World()
    engine, saga = await run(database, world, [world.step("a", Later("no answer"), Later("no answer"))])
    assert (saga.state, world.done) == (State.DONE, ["a", "a", "a"])
    assert engine.journal.records("s")[0].problem is None


async def test_a_failed_step_undoes_itself_and_those_before_it(database: Database) -> None:
    world = World()
    _, saga = await run(database, world, [world.step("a"), world.step("b", ValueError("refused")), world.step("c")])
    assert (saga.state, saga.problem) == (State.FAILED, "b: refused")
    assert world.done == ["a", "b", "undo b", "undo a"]


async def test_an_undo_that_cannot_be_done_is_named_and_the_others_go_on(database: Database) -> None:
    world = World()
    steps = [world.step("a"), world.step("b", undo=OSError("gone")), world.step("c", ValueError("refused"))]
    engine, saga = await run(database, world, steps, undo_attempts=2)
    assert saga.state is State.FAILED
    assert world.done[3:] == ["undo c", "undo b", "undo b", "undo a"]
    left = [r for r in engine.journal.records("s") if r.direction == "undo" and r.problem]
    assert [(r.name, r.problem) for r in left] == [("b", "gone")]


async def test_an_undo_waits_as_a_do_does_and_is_woken_at_once(database: Database) -> None:
    """However often it looks in vain: only what is wrong uses up its attempts."""
    world = World()
    looked = 0

    async def back(context: Context, evidence: Json) -> Json:
        nonlocal looked
        looked += 1
        if not world.open:
            raise Held("still there")
        return "gone"

    gate = replace(world.gate(), undo=back)
    engine = start(database, world, [world.step("a"), gate], undo_attempts=2)
    await until_held(engine)
    assert engine.cancel("s")
    for seen in range(1, 5):
        await until(lambda seen=seen: looked == seen)  # type: ignore[misc]
        assert engine.journal.get("s").state is State.UNDOING  # type: ignore[union-attr]
        engine.wake("s")
    await until(lambda: looked == 5)
    world.open = True
    began = time.monotonic()
    engine.wake("s")
    assert (await engine.finished("s")).state is State.CANCELLED
    assert time.monotonic() - began < 0.5
    undone = [record for record in engine.journal.records("s") if record.direction == "undo"]
    assert [(record.name, record.evidence) for record in undone] == [("gate", "gone"), ("a", None)]


async def test_what_has_ended_cannot_be_cancelled(database: Database) -> None:
    world = World()
    engine, _ = await run(database, world, [world.step("a")])
    assert engine.cancel("s") is False
    assert world.done == ["a"]


async def test_cancelled_between_attempts(database: Database) -> None:
    world = World()
    engine = Engine(database, {"k": lambda s, d: [world.step("a"), world.step("b", Later("busy"))]}, first_pause=600)
    with database.begin() as connection:
        engine.submit(connection, "s", "k", {})
    engine.launch("s")
    await until(lambda: "b" in world.done)
    assert engine.cancel("s")
    assert (await engine.finished("s")).state is State.CANCELLED
    assert world.done == ["a", "b", "undo b", "undo a"]


async def test_an_observer_writes_within_the_steps_own_transaction(database: Database) -> None:
    """An observer that fails takes the journal's row with it: never one without the other."""
    world = World()

    def refuse(connection: sa.Connection, event: Event) -> None:
        raise RuntimeError("disk full")

    engine = Engine(database, {"k": lambda s, d: [world.step("a")]}, [refuse])
    with database.begin() as connection:
        engine.submit(connection, "s", "k", {})
    engine.launch("s")
    saga = await engine.finished("s")
    assert saga.state is State.RUNNING
    assert (engine.journal.records("s"), world.done) == ([], [])


async def test_a_saga_is_submitted_with_its_callers_rows_or_not_at_all(database: Database) -> None:
    engine = Engine(database, {"k": lambda s, d: []})
    with contextlib.suppress(ZeroDivisionError), database.begin() as connection:
        engine.submit(connection, "s", "k", {})
        raise ZeroDivisionError
    assert engine.journal.get("s") is None


def test_an_unknown_kind_is_refused_by_name(database: Database) -> None:
    engine = Engine(database, {"order": lambda s, d: []})
    with database.begin() as connection, pytest.raises(ValueError, match=r"'ordre'.*order are"):
        engine.submit(connection, "s", "ordre", {})


async def test_hundreds_of_held_sagas_cost_nothing(database: Database) -> None:
    world = World()
    engine = Engine(database, {"k": lambda s, d: [world.gate()]})
    with database.begin() as connection:
        for n in range(200):
            engine.submit(connection, str(n), "k", {})
    await engine.start()
    await until_held(engine, "0", "199")
    with spent() as work:
        await asyncio.sleep(0.2)
    assert work.seconds < 0.02
    await engine.stop()

"""The journal of durable sagas: what was begun, what ended with which evidence, what was undone.

Two tables in the component's own database, so that a component's rows and the step that made them are one transaction.
A step's row is committed *before* its effect begins: after a crash we know what may have happened, and must be undone.
"""

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

Json = Any
"""Whatever `json` can write: inputs and evidence are data, never live objects."""


class Transactions(Protocol):
    """What the journal needs of `stackkit.database.Database`."""

    def begin(self) -> AbstractContextManager[sa.Connection]: ...

    def read(self) -> AbstractContextManager[sa.Connection]: ...


class State(enum.StrEnum):
    RUNNING = "running"
    HELD = "held"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in {State.DONE, State.FAILED, State.CANCELLED}


class Phase(enum.StrEnum):
    STARTED = "started"
    RETRYING = "retrying"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Record:
    """One step as the journal knows it."""

    saga: str
    number: int
    name: str
    direction: str  # "do" or "undo"
    phase: Phase
    attempts: int
    started: str
    ended: str | None
    evidence: Json
    problem: str | None


@dataclass(frozen=True)
class Saga:
    id: str
    kind: str
    input: Json
    state: State
    cancel: bool
    problem: str | None
    created: str
    updated: str


@dataclass(frozen=True)
class Event:
    """What observers are told: the saga as it is now, and the step that moved it (none: only the saga's state did)."""

    saga: Saga
    step: Record | None


Observer = Callable[[sa.Connection, Event], None]

metadata = sa.MetaData()
sagas = sa.Table(
    "durable_saga",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("input", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("cancel", sa.Boolean, nullable=False, default=False),
    sa.Column("problem", sa.String),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("updated", sa.String, nullable=False),
)
steps = sa.Table(
    "durable_step",
    metadata,
    sa.Column("saga", sa.String, sa.ForeignKey("durable_saga.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("direction", sa.String, nullable=False),
    sa.Column("phase", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("ended", sa.String),
    sa.Column("evidence", sa.String),
    sa.Column("problem", sa.String),
    sa.UniqueConstraint("saga", "name", "direction"),
)


def create_tables(connection: sa.Connection) -> None:
    """The migration that a component lists among its own."""
    metadata.create_all(connection)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """Reads and writes the two tables; every write tells the observers within the same transaction."""

    def __init__(self, database: Transactions, observers: Sequence[Observer]) -> None:
        self._database = database
        self._observers = observers

    def add(self, connection: sa.Connection, saga: str, kind: str, data: Json) -> None:
        at = now()
        row = {"id": saga, "kind": kind, "input": json.dumps(data), "state": State.RUNNING, "cancel": False}
        connection.execute(sa.insert(sagas).values(**row, created=at, updated=at))

    def get(self, saga: str) -> Saga | None:
        with self._database.read() as connection:
            return self._saga(connection, saga)

    def unfinished(self) -> list[str]:
        wanted = [s.value for s in State if not s.terminal]
        with self._database.read() as connection:
            query = sa.select(sagas.c.id).where(sagas.c.state.in_(wanted)).order_by(sagas.c.created, sagas.c.id)
            return list(connection.execute(query).scalars())

    def records(self, saga: str) -> list[Record]:
        with self._database.read() as connection:
            rows = connection.execute(sa.select(steps).where(steps.c.saga == saga).order_by(steps.c.number))
            return [_record(dict(row._mapping)) for row in rows]

    def mark_cancelled(self, connection: sa.Connection, saga: str) -> bool:
        """The request to cancel, durable before it is acknowledged; False if the saga has ended or is ending."""
        open_states = [State.RUNNING.value, State.HELD.value]
        change = sa.update(sagas).where(sagas.c.id == saga, sagas.c.state.in_(open_states))
        return connection.execute(change.values(cancel=True, updated=now())).rowcount == 1

    def move(self, saga: str, state: State, problem: str | None = None) -> None:
        with self._database.begin() as connection:
            values: dict[str, Any] = {"state": state.value, "updated": now()}
            if problem is not None:
                values["problem"] = problem
            connection.execute(sa.update(sagas).where(sagas.c.id == saga).values(**values))
            self._tell(connection, saga, None)

    def begin_step(self, saga: str, name: str, direction: str, state: State) -> None:
        """A step's start; a step that was begun before keeps its row and its first start."""
        with self._database.begin() as connection:
            if self._set(connection, saga, name, direction, {"attempts": steps.c.attempts + 1}) == 0:
                last = connection.execute(sa.select(sa.func.max(steps.c.number)).where(steps.c.saga == saga)).scalar()
                row = {"saga": saga, "number": (last or 0) + 1, "name": name, "direction": direction}
                connection.execute(sa.insert(steps).values(**row, phase=Phase.STARTED, attempts=1, started=now()))
            self._state(connection, saga, state)
            self._tell(connection, saga, (name, direction))

    def note(self, saga: str, name: str, direction: str, phase: Phase, problem: str, state: State) -> None:
        """A step that waits or will be tried again, with the reason."""
        with self._database.begin() as connection:
            self._set(connection, saga, name, direction, {"phase": phase.value, "problem": problem})
            self._state(connection, saga, state)
            self._tell(connection, saga, (name, direction))

    def end_step(self, saga: str, name: str, direction: str, evidence: Json, problem: str | None = None) -> None:
        with self._database.begin() as connection:
            values = {
                "phase": (Phase.FAILED if problem else Phase.DONE).value,
                "ended": now(),
                "evidence": json.dumps(evidence),
                "problem": problem,
            }
            self._set(connection, saga, name, direction, values)
            self._tell(connection, saga, (name, direction))

    def _set(self, connection: sa.Connection, saga: str, name: str, direction: str, values: Mapping[str, Any]) -> int:
        key = sa.and_(steps.c.saga == saga, steps.c.name == name, steps.c.direction == direction)
        return connection.execute(sa.update(steps).where(key).values(**values)).rowcount

    def _state(self, connection: sa.Connection, saga: str, state: State) -> None:
        connection.execute(sa.update(sagas).where(sagas.c.id == saga).values(state=state.value, updated=now()))

    def _saga(self, connection: sa.Connection, saga: str) -> Saga | None:
        row = connection.execute(sa.select(sagas).where(sagas.c.id == saga)).one_or_none()
        if row is None:
            return None
        values = dict(row._mapping)
        return Saga(**{**values, "input": json.loads(values["input"]), "state": State(values["state"])})

    def _tell(self, connection: sa.Connection, saga: str, step: tuple[str, str] | None) -> None:
        found = self._saga(connection, saga)
        assert found is not None
        record = None
        if step is not None:
            key = sa.and_(steps.c.saga == saga, steps.c.name == step[0], steps.c.direction == step[1])
            record = _record(dict(connection.execute(sa.select(steps).where(key)).one()._mapping))
        for observer in self._observers:
            observer(connection, Event(found, record))


def _record(row: Mapping[str, Any]) -> Record:
    evidence = None if row["evidence"] is None else json.loads(row["evidence"])
    return Record(**{**row, "phase": Phase(row["phase"]), "evidence": evidence})

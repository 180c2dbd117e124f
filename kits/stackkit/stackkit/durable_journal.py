"""The journal of durable sagas: what was begun, what ended with which evidence, what was undone.

Two tables in the component's own database, so that a component's rows and the step that made them are one transaction.
A step's row is committed *before* its effect begins: after a crash we know what may have happened, and must be undone.
"""

import enum
import json
from collections.abc import Callable, Sequence
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


_key = sa.and_(
    steps.c.saga == sa.bindparam("of_saga"),
    steps.c.name == sa.bindparam("of_name"),
    steps.c.direction == sa.bindparam("of_direction"),
)
# Made once: to put a statement together costs as much as to carry it out, and an order needs dozens.
_SAGA = sa.select(sagas).where(sagas.c.id == sa.bindparam("of_saga"))
_IS_CANCELLED = sa.select(sagas.c.cancel).where(sagas.c.id == sa.bindparam("of_saga"))
_STEPS = sa.select(steps).where(steps.c.saga == sa.bindparam("of_saga")).order_by(steps.c.number)
_MOVE = (
    sa.update(sagas)
    .where(sagas.c.id == sa.bindparam("of_saga"))
    .values(state=sa.bindparam("state"), updated=sa.bindparam("updated"))
    .returning(*sagas.c)
)
_AGAIN = sa.update(steps).where(_key).values(attempts=steps.c.attempts + 1).returning(*steps.c)
_NEXT = sa.select(sa.func.coalesce(sa.func.max(steps.c.number), 0) + 1).where(steps.c.saga == sa.bindparam("saga"))
_BEGIN = (
    sa.insert(steps)
    .values(
        {name: sa.bindparam(name) for name in ("saga", "name", "direction", "phase", "attempts", "started")}
        | {"number": _NEXT.scalar_subquery()}
    )
    .returning(*steps.c)
)
_NOTE = (
    sa.update(steps).where(_key).values({name: sa.bindparam(name) for name in ("phase", "problem")}).returning(*steps.c)
)
_END = (
    sa.update(steps)
    .where(_key)
    .values({name: sa.bindparam(name) for name in ("phase", "ended", "evidence", "problem")})
    .returning(*steps.c)
)


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
            row = connection.execute(_SAGA, {"of_saga": saga}).one_or_none()
            return None if row is None else _saga(row)

    def is_cancelled(self, saga: str) -> bool:
        """Whether its end was asked for."""
        with self._database.read() as connection:
            return bool(connection.execute(_IS_CANCELLED, {"of_saga": saga}).scalar())

    def unfinished(self) -> list[str]:
        wanted = [s.value for s in State if not s.terminal]
        with self._database.read() as connection:
            query = sa.select(sagas.c.id).where(sagas.c.state.in_(wanted)).order_by(sagas.c.created, sagas.c.id)
            return list(connection.execute(query).scalars())

    def records(self, saga: str) -> list[Record]:
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(_STEPS, {"of_saga": saga})]

    def mark_cancelled(self, connection: sa.Connection, saga: str) -> bool:
        """The request to cancel, durable before it is acknowledged; False if the saga has ended or is ending."""
        open_states = [State.RUNNING.value, State.HELD.value]
        change = sa.update(sagas).where(sagas.c.id == saga, sagas.c.state.in_(open_states))
        return connection.execute(change.values(cancel=True, updated=now())).rowcount == 1

    def move(self, saga: str, state: State, problem: str | None = None) -> None:
        with self._database.begin() as connection:
            if problem is not None:
                connection.execute(sa.update(sagas).where(sagas.c.id == saga).values(problem=problem))
            self._tell(connection, self._move(connection, saga, state), None)

    def begin_step(self, saga: str, name: str, direction: str, state: State) -> None:
        """A step's start; a step that was begun before keeps its row and its first start."""
        with self._database.begin() as connection:
            row = connection.execute(_AGAIN, _of(saga, name, direction)).one_or_none()
            if row is None:
                begun = {"phase": Phase.STARTED.value, "attempts": 1, "started": now()}
                row = connection.execute(_BEGIN, {"saga": saga, "name": name, "direction": direction} | begun).one()
            self._tell(connection, self._move(connection, saga, state), _record(row))

    def note(self, saga: str, name: str, direction: str, phase: Phase, problem: str, state: State) -> None:
        """A step that waits or will be tried again, with the reason."""
        with self._database.begin() as connection:
            values = {"phase": phase.value, "problem": problem}
            row = connection.execute(_NOTE, _of(saga, name, direction) | values).one()
            self._tell(connection, self._move(connection, saga, state), _record(row))

    def end_step(self, saga: str, name: str, direction: str, evidence: Json, problem: str | None = None) -> None:
        with self._database.begin() as connection:
            values = {
                "phase": (Phase.FAILED if problem else Phase.DONE).value,
                "ended": now(),
                "evidence": json.dumps(evidence),
                "problem": problem,
            }
            row = connection.execute(_END, _of(saga, name, direction) | values).one()
            self._tell(connection, _saga(connection.execute(_SAGA, {"of_saga": saga}).one()), _record(row))

    def _move(self, connection: sa.Connection, saga: str, state: State) -> Saga:
        return _saga(connection.execute(_MOVE, {"of_saga": saga, "state": state.value, "updated": now()}).one())

    def _tell(self, connection: sa.Connection, saga: Saga, record: Record | None) -> None:
        for observer in self._observers:
            observer(connection, Event(saga, record))


def _of(saga: str, name: str, direction: str) -> dict[str, Any]:
    """Parameters that say which step."""
    return {"of_saga": saga, "of_name": name, "of_direction": direction}


def _saga(row: sa.Row[Any]) -> Saga:
    values = dict(row._mapping)
    return Saga(**{**values, "input": json.loads(values["input"]), "state": State(values["state"])})


def _record(row: sa.Row[Any]) -> Record:
    values = dict(row._mapping)
    evidence = None if values["evidence"] is None else json.loads(values["evidence"])
    return Record(**{**values, "phase": Phase(values["phase"]), "evidence": evidence})

"""Durable sagas: steps that survive their process, with an undo for each.

A saga is a list of named steps made from its input. Each step's start is in the journal before its effect begins, its
end with evidence before the next step begins. After `kill -9` a saga goes on where the journal ends: the step that was
begun is done again, so **`do` and `undo` must be idempotent**; what ended is never done again. A new version of the
code may name other steps: those that are in the journal are passed over by name.

Cancelled or failed, a saga undoes what was *begun*, in reverse; the undo gets the evidence of the do, or None if it
never ended. A step that is in `do` is let finish first; waits and pauses between attempts end at once.

Why not DBOS 3.4, which was tried first: it resumes and outlives upgrades well, but on SQLite it finds out by polling,
one transaction a waiting workflow a tick (200 held orders at 20 ms: 63 % of a core, woken after 50 to 90 ms), and its
import costs 1.6 s and 75 MB. By its documentation (not tried) a step is written down when it has ended, and undo is
the user's. Here waiting costs nothing and waking a task switch.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from stackkit import logs
from stackkit.durable_journal import (
    Event,
    Journal,
    Json,
    Observer,
    Phase,
    Record,
    Saga,
    State,
    Transactions,
    create_tables,
)

__all__ = [
    "Context", "Engine", "Event", "Held", "Journal", "Json", "Later", "Observer", "Phase", "Record", "Saga", "State",
    "Step", "Transactions", "create_tables",
]  # fmt: skip

log = logging.getLogger(__name__)


class Later(Exception):
    """Raised by a step whose far end is unreachable or busy: tried again after a pause, however long it takes."""


class Held(Exception):
    """Raised by a step whose condition is not met yet: tried again when woken, or after `recheck`."""


@dataclass(frozen=True)
class Context:
    """What a step is given: its saga's id and input, and the evidence of the steps that ended before it."""

    saga: str
    input: Json
    evidence: Mapping[str, Json]


@dataclass(frozen=True)
class Step:
    """`do` returns its evidence. Any exception but Later and Held fails the saga; an undo is tried again, and may wait
    as a `do` may."""

    name: str
    do: Callable[[Context], Awaitable[Json]]
    undo: Callable[[Context, Json], Awaitable[Json]] | None = None
    recheck: float = 30.0


Definition = Callable[[str, Json], Sequence[Step]]


class Engine:
    """Runs sagas of the kinds it knows, each in its own task of the running loop."""

    def __init__(
        self,
        database: Transactions,
        definitions: Mapping[str, Definition],
        observers: Sequence[Observer] = (),
        *,
        first_pause: float = 0.1,
        longest_pause: float = 10.0,
        undo_attempts: int = 20,
    ) -> None:
        self.journal = Journal(database, observers)
        self._database = database
        self._definitions = definitions
        self._pauses = (first_pause, longest_pause)
        self._undo_attempts = undo_attempts
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}

    async def start(self) -> int:
        """Goes on with everything that a previous process left unfinished; returns how many that are."""
        found = self.journal.unfinished()
        for saga in found:
            self.launch(saga)
        return len(found)

    def submit(self, connection: sa.Connection, saga: str, kind: str, data: Json) -> None:
        """Adds a saga in the caller's transaction; `launch` it once that is committed (`start` does, after a crash)."""
        if kind not in self._definitions:
            raise ValueError(f"no saga of kind {kind!r} is defined: {', '.join(sorted(self._definitions))} are")
        self.journal.add(connection, saga, kind, data)

    def launch(self, saga: str) -> None:
        if saga not in self._tasks:
            self._wakes[saga] = asyncio.Event()
            task = asyncio.create_task(self._run(saga), name=f"saga {saga}")
            self._tasks[saga] = task
            task.add_done_callback(lambda _: self._forget(saga))

    def cancel(self, saga: str) -> bool:
        """Asks for the end of a saga and the undo of its steps; False if it is too late for that."""
        with self._database.begin() as connection:
            accepted = self.journal.mark_cancelled(connection, saga)
        if accepted:
            self.wake(saga)
        return accepted

    def wake(self, saga: str | None = None) -> None:
        """Something changed that a held saga may wait for (None: any)."""
        for name, event in self._wakes.items():
            if saga in (None, name):
                event.set()

    async def finished(self, saga: str) -> Saga:
        """Waits for a saga's end."""
        if task := self._tasks.get(saga):
            await asyncio.shield(task)
        found = self.journal.get(saga)
        if found is None:
            raise KeyError(f"there is no saga {saga}")
        return found

    async def stop(self) -> None:
        """Ends the tasks, not the sagas: the next `start` goes on with them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, saga: str) -> None:
        self._tasks.pop(saga, None)
        self._wakes.pop(saga, None)

    async def _run(self, saga: str) -> None:
        # The task's own context: every log line and every request that comes of the saga names it.
        logs.order.set(saga)
        try:
            await self._advance(saga)
        except Exception:
            # A defect of ours or a database that cannot be written: the saga stays as the journal has it.
            log.exception("saga %s stopped; it goes on when this process is started again", saga)

    async def _advance(self, saga: str) -> None:
        row = self.journal.get(saga)
        if row is None or row.state.terminal:
            return
        plan = self._definitions[row.kind](saga, row.input)
        if row.state is not State.UNDOING:
            problem = await self._forward(row, plan)
            if problem is None and not self._cancelled(saga):
                self.journal.move(saga, State.DONE)
                return
            self.journal.move(saga, State.UNDOING, problem)
        await self._backward(row, plan)

    async def _forward(self, row: Saga, plan: Sequence[Step]) -> str | None:
        """Does what is not done yet. The problem that ends the saga, or None (done, or cancelled)."""
        begun = {r.name: r for r in self.journal.records(row.id) if r.direction == "do"}
        evidence = {name: r.evidence for name, r in begun.items() if r.phase is Phase.DONE}
        for step in plan:
            if step.name in evidence:
                continue
            known = begun.get(step.name)
            if known is not None and known.phase is Phase.FAILED:
                return known.problem  # killed between the failure and the state that follows from it
            if self._cancelled(row.id):
                return None
            self.journal.begin_step(row.id, step.name, "do", State.RUNNING)
            try:
                result = await self._until_done(row, step, Context(row.id, row.input, dict(evidence)))
            except _Cancelled:
                return None
            except Exception as error:
                log.warning("saga %s: step %s failed: %s", row.id, step.name, error)
                problem = f"{step.name}: {error}"
                self.journal.end_step(row.id, step.name, "do", None, problem)
                return problem
            self.journal.end_step(row.id, step.name, "do", result)
            log.info("step %s is done", step.name)
            evidence[step.name] = result
        return None

    async def _until_done(self, row: Saga, step: Step, context: Context) -> Json:
        pause, longest = self._pauses
        wake = self._wakes[row.id]
        noted = None
        while True:
            # Cleared before the attempt: what changes while it looks must not be missed.
            wake.clear()
            try:
                return await step.do(context)
            except Held as reason:
                phase, state, delay, text = Phase.HELD, State.HELD, step.recheck, str(reason)
            except Later as reason:
                phase, state, delay, text = Phase.RETRYING, State.RUNNING, pause, str(reason)
                pause = min(pause * 2, longest)
            if (phase, text) != noted:
                self.journal.note(row.id, step.name, "do", phase, text, state)
                noted = (phase, text)
            if self._cancelled(row.id):
                raise _Cancelled
            await self._woken(wake, delay)
            if self._cancelled(row.id):
                raise _Cancelled

    async def _backward(self, row: Saga, plan: Sequence[Step]) -> None:
        records = self.journal.records(row.id)
        undone = {r.name for r in records if r.direction == "undo" and r.ended is not None}
        known = {step.name: step for step in plan}
        evidence = {r.name: r.evidence for r in records if r.direction == "do"}
        for record in reversed([r for r in records if r.direction == "do" and r.name not in undone]):
            step = known.get(record.name)
            if step is not None and step.undo is None:
                continue
            self.journal.begin_step(row.id, record.name, "undo", State.UNDOING)
            result: Json = None
            problem: str | None = f"this version has no step {record.name}: its effect stays"
            if step is not None:
                result, problem = await self._undo(step, Context(row.id, row.input, evidence), record)
            self.journal.end_step(row.id, record.name, "undo", result, problem)
        self.journal.move(row.id, State.CANCELLED if self._cancelled(row.id) else State.FAILED)

    async def _undo(self, step: Step, context: Context, record: Record) -> tuple[Json, str | None]:
        """One undo, tried until it succeeds; what cannot be undone is left behind with its reason, the others go on."""
        assert step.undo is not None
        pause, longest = self._pauses
        wake = self._wakes[context.saga]
        failures = 0
        noted = None
        while True:
            wake.clear()
            phase = Phase.RETRYING
            try:
                return await step.undo(context, record.evidence), None
            except Held as reason:
                phase, text = Phase.HELD, str(reason)
            except Later as reason:
                text = str(reason)
            except Exception as error:
                failures += 1
                text = str(error)
                log.warning("saga %s: undo of %s failed (%d): %s", context.saga, step.name, failures, error)
                if failures >= self._undo_attempts:
                    return None, text
            if (phase, text) != noted:
                self.journal.note(context.saga, step.name, "undo", phase, text, State.UNDOING)
                noted = (phase, text)
            if phase is Phase.HELD:
                await self._woken(wake, step.recheck)
            else:  # its attempts are counted: whatever happens elsewhere must not use them up
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    @staticmethod
    async def _woken(wake: asyncio.Event, delay: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), delay)

    def _cancelled(self, saga: str) -> bool:
        return self.journal.is_cancelled(saga)


class _Cancelled(Exception):
    pass

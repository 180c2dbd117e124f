"""Carrying out faults on a running lab: each in its time, all undone at the end of a `with` block.

The lab host's agent owns the undoing: when the process that began a fault is gone, however it went, the agent notices
that its connection is, and gives back (`harness.agent.borrowed`).
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from harness.faults import FaultError
from harness.faults.plan import Step, steps
from harness.faults.scenario import Scenario
from harness.host.channel import AgentError, AgentLost

if TYPE_CHECKING:
    from harness.lab.lab import Lab

INTERRUPTED = "its block was left by an exception"
_SECONDS = 120
"""For one fault to begin or end: a node may have to boot."""

_TROUBLE = (AgentError, AgentLost, FaultError, TimeoutError)
"""What a fault's begin or end may come to."""

_LOOK_SECONDS = 1.0
"""How often a scenario that waits looks whether its lab is still there."""

Report = Callable[[str, Step], None]
"""Is told of each begin and end, as it happens."""


@dataclass(order=True)
class _Event:
    at: float
    number: int
    begins: bool = field(compare=False)
    step: Step = field(compare=False)


class Injection:
    """A scenario on its way. What begins at once has begun when its `with` block is entered."""

    def __init__(self, lab: Lab, planned: Sequence[Step], seed: int, report: Report) -> None:
        self.seed = seed
        self.steps = tuple(planned)
        self._lab = lab
        self._report = report
        self._names: dict[int, str] = {}
        self._problems: list[Exception] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._start = 0.0

    @property
    def lasts(self) -> float | None:
        """Seconds until the last fault has ended by itself; None if one does not."""
        ends = [step.end for step in self.steps]
        return None if None in ends else max((end for end in ends if end is not None), default=0.0)

    def wait(self) -> None:
        """Until everything that has an end has ended. Raises what went wrong meanwhile."""
        if self._thread is not None:
            self._thread.join()
        self._raise()

    def wait_for_ever(self) -> NoReturn:
        """Until somebody interrupts. Raises AgentLost when the agent is gone."""
        self._lab.agent.lost.wait()
        raise self._lost()

    def _lost(self) -> AgentLost:
        return AgentLost(f"the agent of lab {self._lab.name} is gone; the next one undoes what it had begun")

    def _events(self) -> list[_Event]:
        found = []
        for step in self.steps:
            found.append((step.begin, True, step))
            if step.end is not None:
                found.append((step.end, False, step))
        return sorted(_Event(at, number, begins, step) for number, (at, begins, step) in enumerate(found))

    def begin(self) -> None:
        events = self._events()
        # A channel that is opened now, and what the agent has to import, take longer than most faults.
        self._lab.agent.call("fault.prepare")
        self._start = time.monotonic()
        at_once = [event for event in events if event.at <= 0]
        try:
            for event in at_once:
                self._do(event)
        except BaseException:
            with contextlib.suppress(*_TROUBLE):  # what came first tells more
                self.end()
            raise
        later = events[len(at_once) :]
        if later:
            self._thread = threading.Thread(target=self._go_on, args=(later,), name="faults", daemon=True)
            self._thread.start()

    def _go_on(self, events: list[_Event]) -> None:
        for event in events:
            if not self._is_time(event.at):
                return
            try:
                self._do(event)
            except Exception as error:  # told to whoever waits, or leaves the block
                self._problems.append(error)

    def _is_time(self, at: float) -> bool:
        """Wait for that moment; whether it has come, before the end and with a lab that is still there."""
        while (left := self._start + at - time.monotonic()) > 0:
            if self._over.wait(min(left, _LOOK_SECONDS)):
                return False
            if self._lab.agent.lost.is_set():
                self._problems.append(self._lost())
                return False
        return True

    def _do(self, event: _Event) -> None:
        if event.begins:
            self._begin(event.step)
        elif id(event.step) in self._names:  # else it never began
            self._end(event.step)

    def _begin(self, step: Step) -> None:
        name = uuid4().hex[:8]
        what = {
            "text": step.text,
            "kind": step.fault.kind,
            "on": list(step.fault.targets),
            "values": step.fault.values,
            "seed": step.seed,
            "for": None if step.end is None else step.end - step.begin,
        }
        described = [self._described(effect) for effect in step.effects]
        # Whoever hears nothing in time, or is interrupted, does not know that it has not begun.
        self._names[id(step)] = name
        try:
            with _in_our_words():
                self._lab.agent.call("fault.begin", _SECONDS, fault=name, what=what, effects=described)
        except (AgentError, FaultError):
            del self._names[id(step)]
            raise
        self._report("begin", step)

    def _described(self, effect: dict[str, Any]) -> dict[str, Any]:
        """With what the agent has to know of a node to give it power."""
        if effect["kind"] not in ("power", "clock") or "node" not in effect:
            return effect
        return {**effect, **self._lab.engine.power_of(effect["node"])}

    def _end(self, step: Step, why: str = "ended") -> None:
        with _in_our_words():
            self._lab.agent.call("fault.end", _SECONDS, fault=self._names[id(step)], why=why)
        del self._names[id(step)]
        self._report("end", step)

    def end(self, why: str = "ended") -> None:
        """Undo what is still in effect, the latest first. Raises the first thing that went wrong."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for step in reversed(self.steps):
            if id(step) in self._names:
                try:
                    self._end(step, why)
                except _TROUBLE as error:  # the others are still undone
                    self._problems.append(error)
        self._raise()

    def _raise(self) -> None:
        if self._problems:
            problems, self._problems = self._problems, []
            raise problems[0]


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """A fault that cannot be is the caller's mistake, wherever it was noticed."""
    try:
        yield
    except AgentError as error:
        if error.kind == "FaultError":
            raise FaultError(str(error).partition(": ")[2]) from error
        raise


def plan(lab: Lab, scenario: Scenario, seed: int) -> list[Step]:
    """What a scenario comes to in a lab. Raises FaultError."""
    drawn = random.Random(seed)  # noqa: S311 (repeatable, not secret)
    return [step for timed in scenario.faults for step in steps(timed, lab.topology, drawn.getrandbits(62))]


def prepared(lab: Lab, scenario: Scenario, seed: int | None = None, report: Report = lambda *_: None) -> Injection:
    """What a scenario will do in a lab. Without `seed` one is drawn; it is in the record. Raises FaultError."""
    chosen = random.getrandbits(62) if seed is None else seed
    return Injection(lab, plan(lab, scenario, chosen), chosen, report)


@contextlib.contextmanager
def carried_out(injection: Injection) -> Iterator[Injection]:
    """It begins with a `with` block and is over with it."""
    injection.begin()
    try:
        yield injection
    except BaseException as error:
        # What the block says comes first; a lab that is gone has nothing to undo.
        with contextlib.suppress(*_TROUBLE):
            injection.end(f"{INTERRUPTED} ({type(error).__name__})")
        raise
    injection.end()


def record_file(lab: Lab) -> Path:
    """Every begin and end of a fault, a line of JSON each."""
    return lab.place.folder / "faults.jsonl"


def record_size(lab: Lab) -> int:
    """How long the record is now: where what comes next will begin."""
    return record_file(lab).stat().st_size if record_file(lab).exists() else 0


def recorded(lab: Lab, after: int = 0) -> list[dict[str, Any]]:
    """The record from `record_size` on."""
    if not record_file(lab).exists():
        return []
    with record_file(lab).open() as file:
        file.seek(after)
        return [json.loads(line) for line in file]

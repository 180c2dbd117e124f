"""Sees a test fail: looks at the lab when an error happens, before the blocks that it leaves undo anything."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import deeds
from harness.deeds import Deed
from harness.evidence import captured, difference, failure, orchestrated, replay, timeline
from harness.evidence.clocks import righted
from harness.evidence.difference import Baseline
from harness.evidence.failure import Exhibit
from harness.evidence.steps import Steps
from harness.host import HostError
from harness.lab import Lab, LabError, attach, keys
from harness.lab.faults import record_size, recorded
from harness.lab.keys import EspKey

_SHORT = "what is not as it was"
_NOTICE_SECONDS = 5
_DEEDS = 2000
"""The last ones."""


class Witness:
    """Of one test on one lab; `before` says what that was like when it was ready, `seed` is that of its run. `see` may
    be told of many errors; `failed` says which one was the test's.
    """

    def __init__(self, lab: Lab, test: str, before: Callable[[], Baseline], seed: int | None = None) -> None:
        self._lab = lab
        self._test = test
        self._before = before
        self._seed = seed
        self._begun = time.time()
        self._recorded = record_size(lab)
        self.steps = Steps()
        self._deeds: deque[Deed] = deque(maxlen=_DEEDS)
        self._captured = captured.files(lab.place.captures)
        self._keys: set[EspKey] = set()
        self._error: BaseException | None = None
        self._settled = False
        self._seen: list[Exhibit] = []

    @property
    def seen(self) -> list[Exhibit]:
        """What was there at the error."""
        return self._seen

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """The test runs inside the block."""
        with self.steps.heard(), deeds.heard(self._deeds.append):
            yield

    def see(self, error: BaseException) -> None:
        """Look at the lab; once for an error, which leaves one block after the other."""
        if self._settled or error is self._error:
            return
        self._error = error
        where = "".join(f" (in: {title})" for title in self.steps.around(error)[-1:])
        failed = timeline.Entry(time.time(), "test", "failed", f"{type(error).__name__}: {error}{where}")
        self._seen = failure.guarded("the lab", lambda: self._look(error, failed))

    def _look(self, error: BaseException, failed: timeline.Entry) -> list[Exhibit]:
        gone = self._gone()
        if gone:
            error.add_note(gone.strip())
        purpose = [f"on purpose: {text}\n" for text in self._on_purpose()]
        with self._answering() as lab:
            return [
                *failure.guarded(_SHORT, lambda: [self._different(lab, [gone, *purpose])]),
                *failure.guarded("the lab", lambda: failure.look(lab)),
                *failure.guarded("timeline", lambda: [self._timeline(lab, failed)]),
                *failure.guarded("keys of ESP", lambda: self._secrets(lab)),
            ]

    def failed(self, error: BaseException) -> None:
        """What comes later, when fixtures tidy up, is none of its evidence."""
        self.see(error)
        self._settled = True

    @property
    def acted(self) -> bool:
        """Whether the test has asked anything of the lab or of its orchestrator."""
        calls = self._lab.calls
        return bool(self._deeds or (calls and calls[-1].at >= self._begun))

    def passed(self) -> list[Exhibit]:
        """What there is to tell of a test that passed, without asking the lab."""
        ended = timeline.Entry(time.time(), "test", "ended", self._test)
        page = timeline.page(self._test, [*self._done(ended.at), ended], self._begun)
        again = Exhibit("how to run it again", replay.told(self._lab, self._test, self._seed))
        return [again, Exhibit("timeline", page, "html")]

    def tell(self) -> None:
        """Attach what was seen to the test's Allure result, with what only now is whole: captures."""
        fresh = self._fresh()
        again = Exhibit("how to run it again", replay.told(self._lab, self._test, self._seed))
        told = captured.exhibits(fresh, self._keys)
        failure.attach([again, *self._seen, *told], captured.fitting(fresh), self._faults())

    def _fresh(self) -> list[Path]:
        """The captures that the test made, or is making."""
        return sorted(captured.files(self._lab.place.captures) - self._captured)

    def _secrets(self, lab: Lab) -> list[Exhibit]:
        """What opens its captures, for this machine alone: none of it is an exhibit."""
        self._keys = keys.esp_keys(lab) if self._fresh() else set()
        return []

    def _gone(self) -> str:
        """What became of the lab if its agent does not answer any more."""
        lost = self._lab.agent.lost
        if self._lab.host.running():
            return "the lab's agent went away; its lab host lives\n" if lost.is_set() else ""
        # What talks to a dead kernel would notice after most of a minute, and each look would wait for that.
        self._lab.host.stop()
        lost.wait(_NOTICE_SECONDS)
        return f"the lab host is gone; what it said last is in {self._lab.place.log}\n"

    @contextlib.contextmanager
    def _answering(self) -> Iterator[Lab]:
        """The lab; by another agent, where its own went away and there can be another."""
        with contextlib.ExitStack() as held:
            lab = self._lab
            if lab.agent.lost.is_set():
                with contextlib.suppress(LabError, HostError, *failure.UNREACHABLE):
                    other = held.enter_context(attach(lab.name))
                    other.agent.call("ping")
                    lab = other
            yield lab

    def _on_purpose(self) -> list[str]:
        """The faults in effect. The next agent ends those of one that is gone, so they are asked for first, or read."""
        try:
            return [fault["what"]["text"] for fault in self._lab.faults_in_effect()]
        except failure.UNREACHABLE:
            records = recorded(self._lab)
            ended = {record["id"] for record in records if record["event"] == "end"}
            return [record["text"] for record in records if record["id"] not in ended]

    def _different(self, lab: Lab, known: Sequence[str]) -> Exhibit:
        """The short answer, for whoever wants no more."""
        changed = difference.told(self._before(), difference.taken(lab))
        return Exhibit(_SHORT, "".join([*known, changed]) or "everything that was looked at is\n")

    def _faults(self) -> list[dict[str, Any]]:
        """Those of the test, at the time that was right."""
        own = recorded(self._lab, self._recorded)
        return righted(recorded(self._lab))[-len(own) :] if own else []

    def _done(self, until: float) -> Iterator[timeline.Entry]:
        """What the test did: no node has to be asked for that."""
        yield timeline.Entry(self._begun, "test", "began", self._test)
        yield from timeline.of_steps(self.steps.taken)
        yield from timeline.of_calls([*self._lab.calls], self._begun, until)
        yield from timeline.of_deeds([*self._deeds])
        yield from timeline.of_faults(self._faults())
        yield from timeline.of_marks([*self._lab.marks], self._begun)

    def _timeline(self, lab: Lab, failed: timeline.Entry) -> Exhibit:
        entries = [
            *self._done(failed.at),
            *timeline.of_orders(orchestrated.orders(lab, self._begun)),
            failed,
            *timeline.gather(lab, self._begun),
        ]
        return Exhibit("timeline", timeline.page(self._test, entries, self._begun), "html")

"""Sees a test fail: looks at the lab when an error happens, before the blocks that it leaves undo anything."""

from __future__ import annotations

import time
import traceback
from typing import Any

from harness.evidence import difference, failure, orchestrated, replay, timeline
from harness.evidence.difference import Baseline
from harness.evidence.failure import Exhibit
from harness.evidence.steps import Steps
from harness.lab import Lab
from harness.lab.faults import record_size, recorded


class Witness:
    """Of one test on one lab, which was as `before` when it was ready. `see` may be told of many errors; `failed` says
    which one was the test's.
    """

    def __init__(self, lab: Lab, test: str, before: Baseline) -> None:
        self._lab = lab
        self._test = test
        self._before = before
        self._begun = time.time()
        self._recorded = record_size(lab)
        self.steps = Steps()
        self._captured = set(lab.place.captures.glob("*.pcap"))
        self._error: BaseException | None = None
        self._settled = False
        self._seen: list[Exhibit] = []

    @property
    def seen(self) -> list[Exhibit]:
        """What was there at the error."""
        return self._seen

    def see(self, error: BaseException) -> None:
        """Look at the lab; once for an error, which leaves one block after the other."""
        if self._settled or error is self._error:
            return
        self._error = error
        where = "".join(f" (in: {title})" for title in self.steps.around(error)[-1:])
        failed = timeline.Entry(time.time(), "test", "failed", f"{type(error).__name__}: {error}{where}")
        try:
            self._seen = [self._different(), *failure.look(self._lab), self._timeline(failed)]
        except Exception as problem:  # whatever it is, the test's own error must be told
            self._seen = [Exhibit("the lab could not be looked at", traceback.format_exc()), *self._seen]
            self._error.add_note(f"and the lab could not be looked at: {problem}")

    def failed(self, error: BaseException) -> None:
        """What comes later, when fixtures tidy up, is none of its evidence."""
        self.see(error)
        self._settled = True

    def tell(self) -> None:
        """Attach what was seen to the test's Allure result, with what only now is whole: captures."""
        fresh = sorted(set(self._lab.place.captures.glob("*.pcap")) - self._captured)
        again = Exhibit("how to run it again", replay.told(self._lab, self._test))
        failure.attach([again, *self._seen], fresh, self._faults())

    def _different(self) -> Exhibit:
        """The short answer, for whoever wants no more."""
        broken = [f"on purpose: {fault['what']['text']}\n" for fault in self._lab.faults_in_effect()]
        changed = difference.told(self._before, difference.taken(self._lab))
        return Exhibit("what is not as it was", "".join([*broken, changed]) or "everything that was looked at is\n")

    def _faults(self) -> list[dict[str, Any]]:
        return recorded(self._lab, self._recorded)

    def _timeline(self, failed: timeline.Entry) -> Exhibit:
        begun = timeline.Entry(self._begun, "test", "began", self._test)
        done = timeline.of_calls([*self._lab.agent.calls], self._begun, failed.at)
        entries = [
            begun,
            *timeline.of_steps(self.steps.taken),
            *done,
            *timeline.of_faults(self._faults()),
            *timeline.of_marks([*self._lab.marks], self._begun),
            *timeline.of_orders(orchestrated.orders(self._lab, self._begun)),
            failed,
            *timeline.gather(self._lab, self._begun),
        ]
        return Exhibit("timeline", timeline.page(self._test, entries, self._begun), "html")

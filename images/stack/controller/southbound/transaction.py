"""The network-wide commit as a state machine without any input or output: two phases, presumed abort.

RFC 6241 makes one device's commit atomic; this puts a confirmed commit with a persist-id (section 8.4) on every device
of a set, and decides once for all of them. Before the decision everything reverts, after it everything goes forward.
A device that is unreachable leaves the set: it is *fenced*, which means that it must be brought to the present intent
before it takes part again. So one unplugged branch blocks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """What is to be done next, on every device of ``waiting`` where there are any."""

    PREPARE = "prepare"  # lock the candidate, edit it, validate it
    COMMIT = "commit"  # confirmed commit with persist-id
    PROBE = "probe"  # does the network do what it should?
    DECIDE = "decide"  # write the decision down
    CONFIRM = "confirm"
    REVERT = "revert"  # cancel-commit
    END = "end"


class Answer(StrEnum):
    """What a device says to a step."""

    DONE = "done"
    REFUSED = "refused"  # it answered with an error
    GONE = "gone"  # it did not answer: whether the step was done is unknown


@dataclass(frozen=True)
class Outcome:
    """How a transaction ended.

    ``committed``: confirmed for good. ``fenced``: to be brought up to date later, with the reason. ``refused``: why
    everything was reverted, by device ("" is the probe); empty when the decision was to commit.
    """

    decided: bool
    committed: frozenset[str] = frozenset()
    fenced: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    """Where in their configurations they refused, of those that said it."""

    @property
    def reason(self) -> str:
        """One line for people."""
        parts = [f"{device}: {text}" if device else text for device, text in sorted(self.refused.items())]
        return "; ".join(parts)


class Transaction:
    """One network-wide commit. Tell it what happened; ``phase`` and ``waiting`` say what to do next."""

    def __init__(self, devices: Iterable[str], unreachable: Iterable[str] = ()) -> None:
        absent = set(unreachable)
        self.members = frozenset(devices) - absent
        self.phase = Phase.PREPARE
        self.decided = False
        self.refused: dict[str, str] = {}
        self.paths: dict[str, str] = {}
        self.fenced: dict[str, str] = dict.fromkeys(absent, "it is not connected")
        self.committed: set[str] = set()
        #: Devices whose last word is still owed to them: confirm or cancel, as decided.
        self.owed: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._advance()

    @property
    def waiting(self) -> frozenset[str]:
        """Devices that have not answered in this phase."""
        return self.members - self._answers.keys() if self.phase in _DEVICE_PHASES else frozenset()

    def report(self, device: str, answer: Answer, reason: str = "", path: str = "") -> None:
        """A device's answer to the step of this phase."""
        if device not in self.waiting:
            raise ValueError(f"nothing was asked of {device} in phase {self.phase}")
        self._answers[device] = answer
        if answer is Answer.GONE:
            self.fenced[device] = reason or "it vanished"
        elif answer is Answer.REFUSED:
            self._was_refused(device, reason, path)
        elif self.phase is Phase.CONFIRM:
            self.committed.add(device)
        if self.phase in _LAST_WORDS and answer is not Answer.GONE:
            self.owed.discard(device)
        self._advance()

    def _was_refused(self, device: str, reason: str, path: str) -> None:
        if self.phase is Phase.CONFIRM:
            # It rebooted or its timer ran out: it is as before, and the decision stands. Resync brings it forward.
            self.fenced[device] = reason
        elif self.phase is not Phase.REVERT:
            # (A cancel that is refused finds nothing to cancel: the device has reverted by itself.)
            self.refused[device] = reason
            if path:
                self.paths[device] = path

    def probed(self, problem: str | None) -> None:
        """The probe passed (None), or says what is wrong."""
        self._expect(Phase.PROBE)
        if problem is not None:
            self.refused[""] = problem
            self._enter(Phase.REVERT)
        else:
            self._enter(Phase.DECIDE)

    def recorded(self) -> None:
        """The decision to commit is durable: from here only forward."""
        self._expect(Phase.DECIDE)
        self.decided = True
        self._enter(Phase.CONFIRM)

    def outcome(self) -> Outcome:
        """How it ended."""
        self._expect(Phase.END)
        return Outcome(self.decided, frozenset(self.committed), dict(self.fenced), dict(self.refused), dict(self.paths))

    def _expect(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise ValueError(f"the transaction is in phase {self.phase}, not {phase}")

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._answers = {}
        if phase is Phase.COMMIT:
            # From here on a device may hold a commit that waits for our word, whatever it answers.
            self.owed = set(self.members)
        elif phase in _LAST_WORDS:
            # Whoever is gone already hears it when it comes back.
            self.members = frozenset(self.owed - self.fenced.keys())
        self._advance()

    def _advance(self) -> None:
        if self.phase not in _DEVICE_PHASES or self.waiting:
            return
        if self.phase is Phase.PREPARE:
            self.members = frozenset(d for d in self.members if self._answers[d] is Answer.DONE)
            self._enter(Phase.END if self.refused or not self.members else Phase.COMMIT)
        elif self.phase is Phase.COMMIT:
            any_left = any(answer is Answer.DONE for answer in self._answers.values())
            self._enter(Phase.REVERT if self.refused or not any_left else Phase.PROBE)
        else:
            self.phase = Phase.END


_LAST_WORDS = frozenset({Phase.CONFIRM, Phase.REVERT})
_DEVICE_PHASES = _LAST_WORDS | {Phase.PREPARE, Phase.COMMIT}

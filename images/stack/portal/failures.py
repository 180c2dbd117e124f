"""What can go wrong, as pages tell it: what happened, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class LoginNeeded(Exception):
    """Nobody is logged in, or no longer."""


class Failure(Exception):
    """A page with this status, title, text and remedy; `cause` is for the log only."""

    def __init__(self, status: int, title: str, text: str, remedy: str, cause: object = None) -> None:
        super().__init__(f"{status} {title}: {text}" + (f" ({cause})" if cause else ""))
        self.status = status
        self.title = title
        self.text = text
        self.remedy = remedy


@dataclass(frozen=True)
class Fault:
    """One error of a problem (RFC 9457): what is wrong, and where in the request (JSON pointer)."""

    text: str
    pointer: str | None


class Refused(Exception):
    """A component understood the request and refuses it."""

    def __init__(self, status: int, title: str, text: str, faults: Sequence[Fault]) -> None:
        super().__init__(f"{status} {title}: {text}")
        self.status = status
        self.title = title
        self.text = text
        self.faults = tuple(faults)


def refused(status: int, content: Any) -> Refused:
    """From the body of an answer, which should be a problem and may be anything."""
    problem = content if isinstance(content, dict) else {}
    text = str(problem.get("detail") or f"The answer was status {status}.")
    entries = problem.get("errors") if isinstance(problem.get("errors"), list) else []
    faults = [
        Fault(str(one.get("detail", text)), one["pointer"] if isinstance(one.get("pointer"), str) else None)
        for one in entries or []
        if isinstance(one, dict)
    ]
    return Refused(status, str(problem.get("title") or "Refused"), text, faults or [Fault(text, None)])

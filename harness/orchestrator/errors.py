"""What the orchestrator refuses, in one sentence: its own words, which field, and what would help."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Json = Any
_LONGEST = 600


class OrchestratorError(RuntimeError):
    """The orchestrator did not do what was asked."""


class UnavailableError(OrchestratorError):
    """A component does not answer, or says that it cannot now: the same call may succeed later."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `field` is a JSON pointer, an instance identifier, or an attribute's name."""

    text: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


class RefusedError(OrchestratorError):
    """A component understood and said no."""

    def __init__(self, service: str, status: int, faults: tuple[Fault, ...]) -> None:
        self.service = service
        self.status = status
        self.faults = faults
        super().__init__(f"{service} refuses ({status}): " + "; ".join(map(str, faults)))


def faults(content: bytes) -> tuple[Fault, ...]:
    """What an error body says: problem details (RFC 9457), RESTCONF errors (RFC 8040, section 7.1), YANG Patch status
    (RFC 8072, section 2.3), SCIM errors (RFC 7644, section 3.12), OAuth errors (RFC 6749, section 5.2).
    """
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        said = content.decode(errors="replace").strip()
        return (Fault(_printable(said) or "it does not say why"),)
    found = _restconf(body) or _problem(body)
    return found or (Fault(_printable(json.dumps(body))),)


def _problem(body: dict[str, Json]) -> tuple[Fault, ...]:
    """Problem details; SCIM and OAuth differ in the names of the members only."""
    pointed = [one for one in _dicts(body.get("errors")) if one.get("detail")]
    if pointed:
        return tuple(
            Fault(_printable(str(one["detail"])), _printable(str(one.get("pointer") or one.get("parameter") or "")))
            for one in pointed
        )
    said = body.get("detail") or body.get("error_description") or body.get("title") or body.get("error")
    return (Fault(_printable(str(said))),) if said else ()


def _restconf(body: Json) -> tuple[Fault, ...]:
    """Errors wherever they are: the container's name differs between RFC 8040 and RFC 8072."""
    if isinstance(body, dict):
        listed = [one for one in _dicts(body.get("error")) if "error-tag" in one]
        if listed:
            return tuple(
                Fault(
                    _printable(str(one.get("error-message") or one["error-tag"])),
                    _printable(str(one.get("error-path", ""))),
                )
                for one in listed
            )
        body = list(body.values())
    if isinstance(body, list):
        return tuple(fault for one in body for fault in _restconf(one))
    return ()


def _dicts(value: Json) -> list[dict[str, Json]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _printable(text: str) -> str:
    """One line: what another program says must not steer the reader's terminal."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."

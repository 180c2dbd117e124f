"""What may be wrong with a box, on demand: at its start, or while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, fields, replace
from typing import Any

from lxml import etree
from yangkit import ApplyError, NetconfServer
from yangkit.operations import OK, Operations, Result
from yangkit.session import Session
from yangkit.xmlutil import split

KINDS = ("slow", "silent", "drops", "refuses", "lies")


class BehaviourError(ValueError):
    """A behaviour that nobody knows; the text says which there are."""


@dataclass(frozen=True)
class Behaviour:
    """How a box answers. The default is a good one.

    ``slow``: seconds before each answer. ``silent``: it takes everything and answers nothing. ``drops``: its connection
    breaks in the middle of this operation, once that is carried out. ``refuses``: it commits nothing. ``lies``: it says
    that it has committed what it then has not.
    """

    slow: float = 0.0
    silent: bool = False
    drops: str | None = None
    refuses: bool = False
    lies: bool = False

    @classmethod
    def parse(cls, text: str) -> Behaviour:
        """``good``, or kinds with commas between: ``slow=0.5,refuses``, ``drops=commit``, ``silent``, ``lies``."""
        found = cls()
        if text == "good":
            return found
        for part in text.split(","):
            kind, given, value = part.partition("=")
            try:
                values: dict[str, Any] = {kind: _value(kind, value, bool(given))}
                found = replace(found, **values)
            except ValueError as error:
                raise BehaviourError(
                    f"{part!r} is no behaviour ({error}): good, slow=SECONDS, silent, drops=OPERATION, refuses, lies"
                ) from None
        return found

    def __str__(self) -> str:
        wrong = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return ",".join(name if value is True else f"{name}={value}" for name, value in wrong if value) or "good"


def _value(kind: str, value: str, given: bool) -> float | str | bool:
    if kind not in KINDS:
        raise ValueError("nobody knows it")
    if (kind in ("slow", "drops")) != given or (given and not value):
        raise ValueError("it needs a value" if kind in ("slow", "drops") else "it has no value")
    if kind == "slow":
        seconds = float(value)
        if not 0 < seconds < 3600:
            raise ValueError("it needs seconds from 0 to 3600")
        return seconds
    return value if kind == "drops" else True


class Behaving(Operations):
    """The operations of a server that may behave badly. What it does it does as every server; the answers differ."""

    def __init__(self, server: NetconfServer) -> None:
        super().__init__(server)
        self.behaviour = Behaviour()
        self._unanswered: dict[Session, list[asyncio.Future[str]]] = {}

    def call(self, session: Session, element: etree._Element) -> Result:
        how = self.behaviour
        if how == _GOOD:
            return super().call(session, element)
        return self._badly(how, session, element)

    async def _badly(self, how: Behaviour, session: Session, element: etree._Element) -> str:
        if how.silent:
            never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._unanswered.setdefault(session, []).append(never)
            return await never
        await asyncio.sleep(how.slow)
        name = split(element)[1]
        if how.lies and name == "commit":
            self._stores.discard()
            return OK
        result = super().call(session, element)
        answer = await result if isinstance(result, Awaitable) else result
        if how.drops == name:
            session.end("dropped")
        return answer

    def ended(self, session: Session) -> None:
        """A session is over: what it was never answered holds nothing up."""
        for never in self._unanswered.pop(session, []):
            never.cancel()

    def admit(self) -> None:
        """Called before a configuration is applied; ApplyError when this box refuses."""
        if self.behaviour.refuses:
            raise ApplyError("this box takes no configuration (it was told to refuse)")


class BehavingServer(NetconfServer):
    """A server with such operations."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.behaving = self.operations = Behaving(self)

    def session_ended(self, session: Session, was_open: bool, reason: str, killed_by: int | None) -> None:
        self.behaving.ended(session)
        super().session_ended(session, was_open, reason, killed_by)


_GOOD = Behaviour()

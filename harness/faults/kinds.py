"""Every kind of fault as a dataclass: what it is called in files, what it wants to know, what it does.

`on` names where: `NODE:INTERFACE` (the cable there), `NODE` (the node, or all its cables), `site SITE` (its nodes, or
all cables that lead into it), `lab`; several in a list. `direction` is seen from there: `in` is what travels toward it,
`out` what comes from it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

Target = str | tuple[str, ...]
"""One or several places."""
Direction = Literal["both", "in", "out"]
Where = Literal["cables", "nodes", "lab or nodes"]
"""What of its targets a fault concerns."""

SIGNALS = ("KILL", "TERM", "ABRT", "SEGV", "HUP", "INT", "QUIT", "STOP", "CONT", "USR1", "USR2")
_PROCESS = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+-]{0,62}")


class FaultError(ValueError):
    """A fault that cannot be; says what of it is wrong, and the remedy."""


Check = Callable[[Any], str | None]
"""None, or the remedy."""


def _between(low: float, high: float, unit: str, *, above: bool = False) -> Any:
    def check(value: Any) -> str | None:
        good = isinstance(value, int | float) and math.isfinite(value) and low <= value <= high
        bounds = f"a number {'above' if above else 'from'} {low:g} {'up ' if above else ''}to {high:g}"
        return None if good and not (above and value == low) else f"write {bounds} ({unit})"

    return {"check": check}


def _one_of(*words: str) -> Any:
    return {"check": lambda value: None if value in words else f"use one of {', '.join(words)}"}


def _port(value: Any) -> str | None:
    return None if isinstance(value, int) and 0 < value < 65536 else "write a port from 1 to 65535"


def _process(value: Any) -> str | None:
    good = isinstance(value, str) and _PROCESS.fullmatch(value)
    return None if good else "name a service or a program, such as charon"


def _maybe_process(value: Any) -> str | None:
    return None if value == "" else _process(value)


_PERCENT = _between(0, 100, "percent", above=True)
_MILLISECONDS = _between(0, 60_000, "milliseconds", above=True)
_DIRECTION = _one_of("both", "in", "out")
_PROCESS_NAME = {"check": _process}
_MAYBE_PROCESS = {"check": _maybe_process}


@dataclass(frozen=True)
class Fault:
    """What all kinds share. Raises FaultError when a value cannot be."""

    on: Target = field(default=())
    kind: ClassVar[str] = ""
    where: ClassVar[Where] = "cables"
    instant: ClassVar[bool] = False
    """It is over as soon as it has happened: there is nothing to undo."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            remedy = problem(type(self), entry.name, getattr(self, entry.name))
            if remedy is not None:
                raise FaultError(f"{self.kind}: {entry.name} cannot be {getattr(self, entry.name)!r} ({remedy})")

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.on,) if isinstance(self.on, str) else self.on

    @property
    def values(self) -> dict[str, Any]:
        """Its fields beside `on`, as a file has them."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "on"}

    def __str__(self) -> str:
        own = {entry.name: entry.default for entry in fields(self)}
        said = " ".join(f"{name} {value}" for name, value in self.values.items() if value != own[name])
        return f"{self.kind}{' on ' + ', '.join(self.targets) if self.targets else ''}{': ' + said if said else ''}"


def problem(kind: type[Fault], name: str, value: Any) -> str | None:
    """Why a field cannot have this value, as the remedy; None if it can."""
    entry = next(entry for entry in fields(kind) if entry.name == name)
    check: Check | None = entry.metadata.get("check")
    return check(value) if check else None


@dataclass(frozen=True)
class Cut(Fault):
    """The cable is pulled: both ends lose carrier."""

    kind = "cut"


@dataclass(frozen=True)
class Drop(Fault):
    """Everything is lost and nobody is told: carrier stays."""

    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "drop"


@dataclass(frozen=True)
class Loss(Fault):
    """A share of the frames is lost on the way; one direction makes it asymmetric."""

    percent: float = field(default=1, metadata=_PERCENT)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "loss"


@dataclass(frozen=True)
class Delay(Fault):
    """Frames take longer, by this much in each direction."""

    ms: float = field(default=50, metadata=_MILLISECONDS)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "delay"


@dataclass(frozen=True)
class Jitter(Fault):
    """Frames take longer by `ms`, give or take as much: anything from nothing to twice that, evenly spread."""

    ms: float = field(default=10, metadata=_MILLISECONDS)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "jitter"


@dataclass(frozen=True)
class Reorder(Fault):
    """A share of the frames comes `ms` late, after those that were sent behind it."""

    percent: float = field(default=5, metadata=_PERCENT)
    ms: float = field(default=10, metadata=_MILLISECONDS)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "reorder"


@dataclass(frozen=True)
class Duplicate(Fault):
    """A share of the frames comes twice."""

    percent: float = field(default=1, metadata=_PERCENT)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "duplicate"


@dataclass(frozen=True)
class Corrupt(Fault):
    """In a share of the frames one bit is wrong."""

    percent: float = field(default=1, metadata=_PERCENT)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "corrupt"


@dataclass(frozen=True)
class Rate(Fault):
    """The line is slower; what waits for longer than `queue_ms` is lost."""

    mbit: float = field(default=10, metadata=_between(0, 10_000, "Mbit/s", above=True))
    queue_ms: float = field(default=200, metadata=_MILLISECONDS)
    direction: Direction = field(default="both", metadata=_DIRECTION)
    kind = "rate"


@dataclass(frozen=True)
class Partition(Fault):
    """The targets are on one side, all else on the other: what travels between is lost, and nobody is told.

    With `peer` (a node or site) it is apart from that one only, by the addresses that both have on their cables now.
    """

    direction: Direction = field(default="both", metadata=_DIRECTION)
    peer: str = ""
    kind = "partition"


@dataclass(frozen=True)
class Swizzle(Fault):
    """Each target is cut off (as by `partition`) in a random order and comes back in another."""

    kind = "swizzle"


@dataclass(frozen=True)
class Outage(Fault):
    """Nobody gets an answer from a TCP or UDP port of the nodes: what goes there is lost on their cables."""

    port: int = field(default=53, metadata={"check": _port})
    kind = "outage"


@dataclass(frozen=True)
class Pause(Fault):
    """A node stands still with all its processes, or only `process` does."""

    process: str = field(default="", metadata=_MAYBE_PROCESS)
    kind = "pause"
    where = "nodes"


@dataclass(frozen=True)
class Kill(Fault):
    """A service or program gets a signal, by itself one that it cannot refuse."""

    process: str = field(default="", metadata=_PROCESS_NAME)
    signal: str = field(default="KILL", metadata=_one_of(*SIGNALS))
    kind = "kill"
    where = "nodes"
    instant = True


@dataclass(frozen=True)
class Stop(Fault):
    """A service of runit's is down."""

    process: str = field(default="", metadata=_PROCESS_NAME)
    kind = "stop"
    where = "nodes"


@dataclass(frozen=True)
class Power(Fault):
    """No power, and nothing gets a chance to tidy up; it comes back when the fault ends. For 0 s it is a cycle."""

    kind = "power"
    where = "nodes"


@dataclass(frozen=True)
class Clock(Fault):
    """The wall clock is off by `offset` seconds and gains `drift` milliseconds a second.

    On `lab` it is the clock of all nodes. A node gets one of its own by being started anew, at begin and end.
    """

    offset: float = field(default=0, metadata=_between(-1e10, 1e10, "seconds"))
    drift: float = field(default=0, metadata=_between(-500, 500, "milliseconds a second"))
    kind = "clock"
    where = "lab or nodes"


@dataclass(frozen=True)
class Disk(Fault):
    """A disk has `left` MiB free: that of a node, if it has its own (`elasticlab.disk`, `elasticlab.tier`); on `lab`,
    or without a place, the one that all other nodes share.
    """

    left: float = field(default=0, metadata=_between(0, 1e6, "MiB"))
    kind = "disk"
    where = "lab or nodes"


@dataclass(frozen=True)
class MemoryPressure(Fault):
    """A node may use `left` MiB more than it does, and never more than without the fault; who wants more is killed by
    the kernel.
    """

    left: float = field(default=8, metadata=_between(0, 1e6, "MiB"))
    kind = "memory"
    where = "nodes"


@dataclass(frozen=True)
class Cpu(Fault):
    """A node gets this share of one processor, or what it has without the fault if that is less."""

    percent: float = field(default=10, metadata=_between(1, 100, "percent"))
    kind = "cpu"
    where = "nodes"


@dataclass(frozen=True)
class RekeyStorm(Fault):
    """Every key of every tunnel of a node is renewed again and again, every so many seconds."""

    every: float = field(default=1, metadata=_between(0.1, 3600, "seconds"))
    kind = "rekey"
    where = "nodes"


def _all() -> dict[str, type[Fault]]:
    return {kind.kind: kind for kind in Fault.__subclasses__()}


KINDS: Mapping[str, type[Fault]] = _all()
"""By the name that a file gives them."""


def retargeted(fault: Fault, on: Target) -> Fault:
    """The same fault elsewhere."""
    return dataclasses.replace(fault, on=on)

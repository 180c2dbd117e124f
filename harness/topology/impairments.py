"""What is wrong with a line by itself: labels of links, all of them listed here.

| label | value | meaning |
|---|---|---|
| `elasticlab.delay` | `20ms` | frames take so much longer |
| `elasticlab.jitter` | `5ms`, at most the delay | the delay is that much more or less, evenly spread |
| `elasticlab.loss` | `0.5%` | so many frames are lost |
| `elasticlab.duplicate` | `0.5%` | so many come twice |
| `elasticlab.reorder` | `0.5%` | so many come 10 ms late |
| `elasticlab.corrupt` | `0.5%` | in so many one bit is wrong |
| `elasticlab.rate` | `512kbit` `20mbit` `1gbit` | the line carries no more; what would wait for over 200 ms is lost |

Each counts for both directions, or for one: `20mbit toward ucpe-1:wan, 5mbit toward internet:access`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from .labels import PREFIX, listed
from .units import NUMBER, bits

LATE_MS = 10.0
QUEUE_MS = 200.0
_VALUE = re.compile(r"(?P<value>\S+)(?: toward (?P<end>\S+))?")


@dataclass(frozen=True, slots=True)
class Impairment:
    """What happens to frames toward one end: times in ms, shares in percent, rate in bit/s."""

    delay: float = 0
    jitter: float = 0
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0
    corrupt: float = 0
    rate: float = 0

    @property
    def values(self) -> dict[str, float]:
        """What differs from a good line, with what belongs to it."""
        found = {name: value for name, value in asdict(self).items() if value}
        if self.reorder:
            found["late"] = LATE_MS
        if self.rate:
            found["queue"] = QUEUE_MS
        return found

    def __str__(self) -> str:
        units = {"delay": "ms", "jitter": "ms", "rate": "Mbit/s"}
        shown = {**asdict(self), "rate": self.rate / 1e6}
        return ", ".join(f"{name} {value:g} {units.get(name, '%')}" for name, value in shown.items() if value)


def _milliseconds(text: str) -> float | None:
    match = re.fullmatch(NUMBER + "ms", text)
    return float(match["number"]) if match and 0 < float(match["number"]) <= 60_000 else None


def _percent(text: str) -> float | None:
    match = re.fullmatch(NUMBER + "%", text)
    return float(match["number"]) if match and 0 < float(match["number"]) <= 100 else None


_Parse = Callable[[str], float | None]
_KINDS: Mapping[str, tuple[_Parse, str]] = {
    "delay": (_milliseconds, "20ms"),
    "jitter": (_milliseconds, "5ms"),
    "loss": (_percent, "0.5%"),
    "duplicate": (_percent, "0.5%"),
    "reorder": (_percent, "0.5%"),
    "corrupt": (_percent, "0.5%"),
    "rate": (bits, "20mbit"),
}


def _read(kind: str, value: str) -> dict[str, float] | None:
    """Each direction's value by the end that it is toward, `""` for both; None if it cannot be."""
    found: dict[str, float] = {}
    for part in listed(value):
        match = _VALUE.fullmatch(part)
        number = _KINDS[kind][0](match["value"]) if match else None
        if match is None or number is None or (match["end"] or "") in found:
            return None
        found[match["end"] or ""] = number
    return None if "" in found and len(found) > 1 else found


def _check(kind: str) -> Callable[[str], str | None]:
    example = _KINDS[kind][1]
    remedy = f"use a value such as {example}, or one a direction: {example} toward NODE:INTERFACE"
    return lambda value: None if _read(kind, value) is not None else remedy


LINK_LABELS: Mapping[str, Callable[[str], str | None]] = {f"{PREFIX}{kind}": _check(kind) for kind in _KINDS}
"""Each label and its check, which answers None or the remedy."""


def decode(labels: Mapping[str, str], ends: tuple[str, str]) -> tuple[Impairment, Impairment]:
    """What travels toward each of a link's two ends suffers; labels that failed their check are left out."""
    found = (Impairment(), Impairment())
    for kind in _KINDS:
        text = labels.get(f"{PREFIX}{kind}")
        for end, number in (_read(kind, text) or {}).items() if text is not None else ():
            found = tuple(  # type: ignore[assignment]
                replace(side, **{kind: number}) if end in ("", name) else side
                for side, name in zip(found, ends, strict=True)
            )
    return found


def problem(label: str, labels: Mapping[str, str], ends: tuple[str, str]) -> tuple[str, str] | None:
    """What of a label does not fit its link, and the remedy."""
    kind = label.removeprefix(PREFIX)
    strange = [end for end in _read(kind, labels[label]) or {} if end and end not in ends]
    if strange:
        return f'{label} is toward "{strange[0]}", where this link does not end', f"use {ends[0]} or {ends[1]}"
    if kind == "jitter" and any(side.jitter > side.delay for side in decode(labels, ends)):
        return f"{label} is more than the delay", f"give it at most the value of {PREFIX}delay"
    return None

"""Scenarios: faults with times, in a file of `faults/`.

    about: The branch's line loses 5 % of what comes in, for half a minute; then the cable is pulled.
    faults:
      - {fault: loss, on: "ucpe-1:wan", percent: 5, direction: in, for: 30}
      - {fault: cut, on: "ucpe-1:wan", at: 30, for: 10}

`fault` is a kind of `harness.faults.kinds` and its fields stand beside it. `at` and `for` are seconds, from the begin
of the scenario and from there; a fault without `for` lasts until it is ended. `seed` decides what is random in it. A
fault without `on` is told its place by whoever runs the scenario.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.faults.kinds import KINDS, Fault, FaultError, Target, problem, retargeted
from harness.topology.document import Form, Mapping, Scalar, Value, describe, parse
from harness.topology.document import Sequence as Items
from harness.topology.problems import FileError, Problem, Problems, suggest
from harness.topology.reading import Reader, absent

FAULTS = Path(__file__).resolve().parents[2] / "faults"
"""Where a bare name is looked for."""

_FORM = Form("scenario", "*.yaml", 'start with "about:" and "faults:"', "split the scenario")
_TOP = frozenset({"about", "faults"})
_TIMES = ("at", "for", "seed")
_MAX_SEED = 2**62
_DAY = 86_400


class FaultFileError(FileError):
    """A scenario that cannot be used."""


@dataclass(frozen=True)
class Timed:
    """A fault and its time; `seconds` is None for one that lasts until it is ended."""

    fault: Fault
    at: float = 0
    seconds: float | None = None
    seed: int | None = None
    source: str = ""
    """File and line, for messages."""


@dataclass(frozen=True)
class Scenario:
    """A file of faults."""

    name: str
    path: Path
    about: str
    faults: tuple[Timed, ...]

    def on(self, target: Target | None) -> Scenario:
        """With a place for the faults that name none. Raises FaultError when one stays without, or none needs it."""
        if target is None:
            nowhere = [timed for timed in self.faults if not timed.fault.targets and timed.fault.where in PLACED]
            if nowhere:
                raise FaultError(f"{nowhere[0].source}: {nowhere[0].fault} names no place; say where with --on TARGET")
            return self
        placed = tuple(
            timed if timed.fault.targets else replace(timed, fault=retargeted(timed.fault, target))
            for timed in self.faults
        )
        if placed == self.faults:
            raise FaultError(f"{self.path}: every fault names its own place; leave --on away, or copy the file")
        return replace(self, faults=placed)

    def lasting(self, seconds: float | None) -> Scenario:
        """With an end for the faults that say none."""
        if seconds is None:
            return self
        return replace(
            self,
            faults=tuple(
                timed if timed.seconds is not None or timed.fault.instant else replace(timed, seconds=seconds)
                for timed in self.faults
            ),
        )


PLACED = ("cables", "nodes")
"""What a fault may concern and has to be told where."""


def find(name: str | Path, folders: Iterable[Path] = ()) -> Path:
    """The file that is meant: a path, or the name of a file in one of the folders or in `faults/`."""
    given = Path(name)
    if given.is_file() or given.name != str(name) or given.suffix:
        return given.absolute()
    places = [folder for folder in (*folders, FAULTS) if folder.is_dir()]
    for folder in places:
        if (folder / f"{given.name}.yaml").is_file():
            return folder / f"{given.name}.yaml"
    known = sorted({file.stem for folder in places for file in folder.glob("*.yaml")})
    remedy = suggest(given.name, known, f"known: {', '.join(known)}; or give a path")
    if given.name in KINDS:
        remedy = f"it is a kind of fault: write a file that has it; `labctl fault show {given.name}` says its fields"
    raise FaultFileError([Problem(given, 0, 0, "no such scenario", remedy)])


def names(folders: Iterable[Path] = ()) -> list[Path]:
    """Every scenario that a bare name can mean."""
    found: dict[str, Path] = {}
    for folder in (*folders, FAULTS):
        for file in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
            found.setdefault(file.stem, file)
    return [found[name] for name in sorted(found)]


def load(name: str | Path, folders: Iterable[Path] = ()) -> Scenario:
    """A scenario by its path or name. Raises FaultFileError with every problem found, each with line and remedy."""
    path = find(name, folders)
    problems = Problems(path, FaultFileError)
    document = parse(path, problems, _FORM)
    problems.raise_if_any()
    assert document is not None
    scenario = _ScenarioReader(problems).scenario(path, document)
    problems.raise_if_any()
    return scenario


class _ScenarioReader(Reader):
    def scenario(self, path: Path, body: Mapping) -> Scenario:
        self.fields(body, "a scenario", _TOP, {})
        about = self.text(body.get("about"), "about")
        if about is None or not about.text.strip():
            self.problems.add(body, "the scenario does not say what it is about", "write about: and a sentence")
        items = self.items(body.get("faults"), "faults")
        if not items:
            self.problems.add(body, "the scenario has no faults", 'write faults: and below it "- fault: loss"')
        faults = [self._timed(path, item) for item in items]
        return Scenario(path.stem, path, about.text.strip() if about else "", tuple(timed for timed in faults if timed))

    def _timed(self, path: Path, value: Value) -> Timed | None:
        body = self.mapping(value, "a fault")
        if body is None:
            return None
        name = self.text(body.get("fault"), "fault")
        if name is None:
            self.problems.add(body, "a fault without its kind", f"write fault: and one of {', '.join(KINDS)}")
            return None
        kind = KINDS.get(name.text)
        if kind is None:
            remedy = suggest(name.text, KINDS, f"known: {', '.join(KINDS)}")
            self.problems.add(name, f"unknown kind of fault {describe(name)}", remedy)
            return None
        own = frozenset(entry.name for entry in fields(kind))
        self.fields(body, f"a fault of kind {kind.kind}", own | {"fault", *_TIMES}, {})
        before = len(self.problems)
        values = {entry: self._value(kind, entry, body, name) for entry in sorted(own - {"on"})}
        on = self._on(body.get("on"))
        at = self._number(body.get("at"), "at", 0, _DAY) or 0.0
        seconds = self._number(body.get("for"), "for", 0, _DAY)
        seed = self._number(body.get("seed"), "seed", 0, _MAX_SEED)
        if kind.instant and seconds is not None:
            self.problems.add(body.key("for"), f"a fault of kind {kind.kind} happens and is over", "remove for")
        if len(self.problems) > before:
            return None
        return Timed(
            kind(on=on, **values), at, seconds, None if seed is None else int(seed), f"{path}:{body.line}:{body.column}"
        )

    def _value(self, kind: type[Fault], name: str, body: Mapping, place: Scalar) -> Any:
        entry = next(entry for entry in fields(kind) if entry.name == name)
        given = body.get(name)
        value = entry.default if absent(given) else self._scalar(given, name, entry.type)
        remedy = problem(kind, name, value)
        if remedy is not None and absent(given):
            self.problems.add(place, f"a fault of kind {kind.kind} without {name}", remedy)
        elif remedy is not None and given is not None:
            self.problems.add(given, f"{name} cannot be {describe(given)}", remedy)
        return value

    def _scalar(self, value: Value | None, what: str, kind: Any) -> Any:
        scalar = self.text(value, what)
        if scalar is None or kind == "str" or not scalar.plain:
            return scalar.text if scalar else None
        return _as_number(scalar.text)

    def _number(self, value: Value | None, what: str, low: float, high: float) -> float | None:
        scalar = self.text(value, what)
        if scalar is None:
            return None
        number = _as_number(scalar.text) if scalar.plain else scalar.text
        if isinstance(number, str) or not low <= number <= high:
            self.problems.add(
                scalar, f"{what} cannot be {describe(scalar)}", f"write a number from {low:g} to {high:g}"
            )
            return None
        return number

    def _on(self, value: Value | None) -> Target:
        if isinstance(value, Items):
            return tuple(scalar.text for scalar in self.texts(value, "on"))
        scalar = self.text(value, "on")
        return scalar.text if scalar else ()


def _as_number(text: str) -> int | float | str:
    """A number if it is one, else the text, which is then refused as what it is."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


def of(faults: Sequence[Fault], seconds: float | None = None, seed: int | None = None) -> Scenario:
    """Faults that somebody has in hand, all at once."""
    timed = tuple(Timed(fault, seconds=None if fault.instant else seconds, seed=seed) for fault in faults)
    return Scenario("", Path(), "", timed)

"""Scenarios as data: a TOML file says who loads what, how the load moves, which faults come, and what is promised."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from perf.load.shapes import KINDS, Shape

FOLDER = Path(__file__).parent / "scenarios"
INTERFACES = ("orders", "restconf", "netconf", "portal")
LIMITS = ("p50", "p95", "p99", "most", "share_failed", "least")
"""Milliseconds that so many in a hundred, or all, may take; the share that may fail; how many there must be."""


class ScenarioError(ValueError):
    """A file that is no scenario: which, where in it, and what it may say."""


@dataclass(frozen=True)
class Firing:
    """A fault's file, begun when so many orders have been placed."""

    at: int
    scenario: str
    on: str = ""
    seconds: float = 10.0
    """For faults that do not say themselves how long they last."""


@dataclass(frozen=True)
class Scenario:
    """One file. `users` is how the sources are shared between the interfaces, `rate` what one begins in a second."""

    name: str
    about: str
    shape: Shape
    users: Mapping[str, int]
    rate: float
    sla: Mapping[str, Mapping[str, float]]
    existing: int = 0
    slots: int = 20
    cancelled: float = 0.0
    """Share of the orders that are cancelled on their way."""
    patience: float = 60.0
    """Seconds after which what has not ended counts as failed."""
    faults: tuple[Firing, ...] = ()


def load(name: str | Path) -> Scenario:
    """By the name of a file in `scenarios/`, or by its path. Raises ScenarioError."""
    file = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if not file.exists():
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.toml")))
        raise ScenarioError(f"there is no scenario {name}; there are {known}, or give a file's path")
    try:
        return _read(file.stem, tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ScenarioError(f"{file}: {error}") from error


def _read(name: str, said: dict[str, Any]) -> Scenario:
    _known(said, {one.name for one in fields(Scenario)} - {"name"}, "the file")
    shape = dict(said["shape"])
    kind = shape.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"[shape] kind is one of {', '.join(KINDS)}, not {kind!r}")
    _known(said["users"], set(INTERFACES), "[users]")
    for what, limits in said.get("sla", {}).items():
        _known(limits, set(LIMITS), f"[sla.{what!r}]")
    if "levels" in shape:
        shape["levels"] = tuple(shape["levels"])
    return Scenario(
        **{key: value for key, value in said.items() if key not in ("shape", "faults", "sla")},
        name=name, shape=KINDS[kind](**shape), sla=said.get("sla", {}),
        faults=tuple(Firing(**one) for one in said.get("faults", [])),
    )  # fmt: skip


def _known(said: Mapping[str, Any], names: set[str], where: str) -> None:
    if unknown := sorted(set(said) - names):
        raise ValueError(f"{where} knows {', '.join(sorted(names))}, not {', '.join(unknown)}")

"""Who this box is: the factory's files, mounted read-only, and what its model can do.

The identity decides the *personality*, the YANG modules and features that the box offers; personalities are data,
found by name in the folder ``personalities``.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


class FactoryError(RuntimeError):
    """The factory's files are missing or make no sense; the box cannot say who it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the factory gave this box."""

    serial: str
    model: str
    personality: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A module that a personality implements, with the features it has."""

    module: str
    features: tuple[str, ...]


def identity(factory: Path) -> Identity:
    """Read the identity."""
    path = factory / "identity.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Identity(data["serial"], data["model"], data["personality"])
    except FileNotFoundError:
        raise FactoryError(f"{path} is missing: this box has no factory identity") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FactoryError(f"{path} is not a factory identity: {error!r}") from None


def personality(name: str) -> tuple[Offer, ...]:
    """The modules of a personality."""
    folder = files("element") / "personalities"
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise FactoryError(f"there is no personality {name!r}; known are {', '.join(known)}")
    data = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    return tuple(Offer(module, tuple(features)) for module, features in data["modules"].items())

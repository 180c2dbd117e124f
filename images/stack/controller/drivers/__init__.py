"""Drivers, found by folder: ``NAME/driver.toml`` says which devices it is for, ``NAME/__init__.py`` builds their trees.

A new model is a new folder; nothing else names it. The modules in driver.toml are those that such a device implements:
they validate what the driver builds, and read what the device answers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from importlib import import_module
from pathlib import Path

from yangkit import Module, Schema, Tree

from controller.drivers.work import Work
from controller.service.facts import DeviceFacts

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Driver:
    """How devices of some models are configured."""

    name: str
    personality: str
    models: tuple[str, ...]
    """Patterns as of a shell."""
    is_pop: bool
    ports: tuple[str, ...]
    """Patterns of the ports that sites may have; none: it serves no site."""
    line_port: str | None
    """The port that a private line of the operator is plugged in at."""
    modules: tuple[Module, ...]

    @property
    def serves_sites(self) -> bool:
        """Is it a site's own device?"""
        return bool(self.ports)

    @property
    def ports_text(self) -> str:
        """Its ports, for people."""
        return " or ".join(self.ports)

    def has_port(self, name: str) -> bool:
        """May a site be at this port?"""
        return any(fnmatchcase(name, pattern) for pattern in self.ports)

    def names_port(self, name: str) -> bool:
        """Is this a port of it, for sites or for a private line?"""
        return name == self.line_port or self.has_port(name)

    @cached_property
    def build(self) -> Callable[[Work], Tree]:
        """The configuration of a device."""
        built: Callable[[Work], Tree] = import_module(f"{__name__}.{self.name}").build
        return built

    def schema(self, *search_dirs: Path) -> Schema:
        """The schema of its devices; made once, that takes a moment."""
        return _schema(self.name, search_dirs)


def find(model: str, personality: str) -> Driver | None:
    """The driver for a device: of those that match, the one that names its model most exactly."""
    return _find(model, personality)


@dataclass(frozen=True)
class Driven(Container[str]):
    """Names of the devices that we configure, and of others: whoever asks of one of a thousand looks at that one."""

    inventory: Mapping[str, DeviceFacts]
    others: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        if name in self.others:
            return True
        facts = self.inventory.get(name) if isinstance(name, str) else None
        return facts is not None and find(facts.model, facts.personality) is not None


def line_port(facts: DeviceFacts) -> str | None:
    """The port of a device that a private line is plugged in at."""
    driver = find(facts.model, facts.personality)
    return None if driver is None else driver.line_port


@cache
def every() -> tuple[Driver, ...]:
    """All drivers there are."""
    return tuple(_read(path) for path in sorted(_HERE.glob("*/driver.toml")))


@lru_cache(maxsize=256)
def _find(model: str, personality: str) -> Driver | None:
    matching = [
        (len(pattern), driver.name, driver)
        for driver in every()
        for pattern in driver.models
        if driver.personality == personality and fnmatchcase(model, pattern)
    ]
    return max(matching, key=lambda m: m[:2])[2] if matching else None


@cache
def _schema(name: str, search_dirs: tuple[Path, ...]) -> Schema:
    driver = next(driver for driver in every() if driver.name == name)
    return Schema(search_dirs, driver.modules)


def _read(path: Path) -> Driver:
    name = path.parent.name
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
        raise ValueError(f"{path.parent}: a driver's folder has a name of lower case letters, digits and '_'")
    data = tomllib.loads(path.read_text())
    match = data.pop("match")
    modules = tuple(Module(module, tuple(features)) for module, features in data.pop("modules").items())
    driver = Driver(
        name=name,
        personality=match.pop("personality"),
        models=tuple(match.pop("models")),
        is_pop=data.pop("pop", False),
        ports=tuple(data.pop("site-ports", ())),
        line_port=data.pop("line-port", None),
        modules=modules,
    )
    if data or match:
        raise ValueError(f"{path}: nobody knows {', '.join((*data, *match))}")
    return driver

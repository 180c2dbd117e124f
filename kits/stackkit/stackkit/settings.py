"""Settings of a component: a TOML file read into a frozen dataclass.

The file is `/etc/elasticlab/COMPONENT.toml`, or the one that `$ELASTICLAB_SETTINGS` names. A key that nobody knows, one
that is missing and one of another type are refused, all at once and by name, because a setting that is silently ignored
is found on the day it is needed.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

DIRECTORY = Path("/etc/elasticlab")
VARIABLE = "ELASTICLAB_SETTINGS"


class SettingsError(Exception):
    """The settings cannot be used; the text names the file and every bad key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Keys that every component has; a component inherits and adds its own.

    `issuer` is identity's public URL as tokens carry it; the `*_url` keys are the addresses components use among
    themselves.
    """

    data: Path
    listen: list[str]
    port: int
    certificate: Path
    key: Path
    service_ca: Path
    issuer: str
    identity_url: str = "https://identity.elasticlab.example:8441"
    manager_url: str = "https://manager.elasticlab.example:8442"
    controller_url: str = "https://controller.elasticlab.example:8443"
    gro_url: str = "https://gro.elasticlab.example:8444"
    log_level: str = "info"


def load(cls: type[T], component: str) -> T:
    """The settings of `component` as an instance of the dataclass `cls`.

    Raises:
        SettingsError: no such file, not TOML, or keys that are unknown, missing or of a wrong type (all of them named).
    """
    path = Path(os.environ.get(VARIABLE) or DIRECTORY / f"{component}.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; write it or name another one in ${VARIABLE}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    problems: list[str] = []
    value = _table(cls, table, "", problems)
    if problems:
        raise SettingsError(f"{path}: " + "; ".join(problems))
    return typing.cast(T, value)


def _table(cls: type[Any], table: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    """One table as a dataclass; what is wrong is added to `problems`."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    before = len(problems)
    problems += [f"unknown key {prefix}{name}" for name in table if name not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _value(hints[name], table[name], prefix + name, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"missing key {prefix}{name}")
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:  # a check of the dataclass's own __post_init__
        problems.append(f"{prefix.rstrip('.') or 'settings'}: {error}")
        return None


def _value(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    """`value` as the type that the dataclass asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # TOML has no null: only `X | None` is of use
        hint = next(one for one in arguments if one is not type(None))
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in arguments:
            problems.append(f"key {name}: {value!r} is none of {', '.join(map(str, arguments))}")
        result = value
    elif origin in (list, tuple):
        result = _sequence(origin, arguments, value, name, problems)
    elif origin is dict:
        result = _mapping(arguments[1], value, name, problems)
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        result = _table(hint, value, f"{name}.", problems)
    else:
        result = _scalar(hint, value, name, problems)
    return result


def _sequence(kind: type[Any], arguments: tuple[Any, ...], value: Any, name: str, problems: list[str]) -> Any:
    if not isinstance(value, list):
        problems.append(f"key {name}: expected a list, not {_kind(value)}")
        return None
    return kind(_value(arguments[0], entry, f"{name}[{index}]", problems) for index, entry in enumerate(value))


def _mapping(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"key {name}: expected a table, not {_kind(value)}")
        return None
    return {key: _value(hint, entry, f"{name}.{key}", problems) for key, entry in value.items()}


def _scalar(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    if hint is Path and isinstance(value, str) and value:
        return Path(value)
    if hint is float and type(value) is int:
        return float(value)
    # bool is an int to Python, not to whoever writes `port = true`
    if hint in (str, int, float, bool) and type(value) is hint:
        return value
    problems.append(f"key {name}: expected {getattr(hint, '__name__', hint)}, not {_kind(value)}")
    return None


def _kind(value: Any) -> str:
    return {
        dict: "a table",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }.get(type(value), type(value).__name__)

"""Where in a data tree: instance paths for errors, access rules and notifications."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yangkit.schema import Schema, SchemaNode

_STEP = re.compile(r"/(?:([\w.-]+):)?([\w.-]+)((?:\[(?:[^\]'\"]|'[^']*'|\"[^\"]*\")*\])*)")
_PREDICATE = re.compile(r"\[\s*(?:([\w.-]+):)?([\w.-]+|\.)\s*=\s*('[^']*'|\"[^\"]*\")\s*\]")


@dataclass(frozen=True)
class Path:
    """Steps from the root, each with the key of the list entry or the value of the leaf-list entry."""

    steps: tuple[tuple[SchemaNode, tuple[str, ...]], ...] = ()

    def child(self, schema: SchemaNode, key: tuple[str, ...] = ()) -> Path:
        """The path one step down."""
        return Path((*self.steps, (schema, key)))

    def __str__(self) -> str:
        """The notation of RFC 7951, section 6.11."""
        return "".join(f"/{schema.json_name}{_predicates(schema, key, '')}" for schema, key in self.steps) or "/"

    def xpath(self) -> tuple[str, dict[str, str]]:
        """The notation of XML (every name has a prefix), and the namespaces of the prefixes."""
        spaces = {schema.module.name: schema.namespace for schema, _ in self.steps}
        text = "".join(
            f"/{schema.qualified_name}{_predicates(schema, key, schema.module.name + ':')}"
            for schema, key in self.steps
        )
        return text or "/", spaces


def _predicates(schema: SchemaNode, key: tuple[str, ...], prefix: str) -> str:
    if not key:
        return ""
    if schema.kind == "leaf-list":
        return f"[.={quoted(key[0])}]"
    if not schema.keys:
        return f"[{int(key[0]) + 1}]"
    return "".join(f"[{prefix}{name}={quoted(value)}]" for name, value in zip(schema.keys, key, strict=False))


def quoted(value: str) -> str:
    """A string literal of XPath."""
    return f"'{value}'" if "'" not in value else f'"{value}"'


def parse(text: str) -> Iterator[tuple[str | None, str, dict[str, str]]]:
    """Steps of an instance identifier: prefix, name, predicates by the name in them; ValueError if it is none."""
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no instance identifier")
        predicates = {}
        for _, name, value in _PREDICATE.findall(match[3]):
            predicates[name] = value[1:-1]
        yield match[1], match[2], predicates
        position = match.end()


def shortened(text: str) -> str:
    """An instance identifier with names of modules where they change only; whatever else it is, as it is."""
    if not text.startswith("/") or text == "/":
        return text
    module: str | None = None
    out = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or (match[1] is None and module is None):
            return text
        prefix = match[1] or module
        out.append(f"/{match[2]}" if prefix == module else f"/{prefix}:{match[2]}")
        module = prefix
        rest = match[3]
        for other, name, value in _PREDICATE.findall(rest):
            out.append(f"[{name if other in ('', module) else f'{other}:{name}'}={value}]")
        if not _PREDICATE.search(rest):
            out.append(rest)
        position = match.end()
    return "".join(out)


def qualify(schema: Schema, text: str) -> tuple[str, dict[str, str]]:
    """A path in RFC 7951 notation (a name without prefix is of its parent's module) as XPath with namespaces."""
    module: str | None = None
    spaces: dict[str, str] = {}
    out = []
    try:
        for prefix, name, predicates in parse(text):
            module = prefix or module
            if module is None or module not in schema.modules:
                return text, spaces
            spaces[module] = schema.modules[module].namespace
            keys = "".join(
                f"[{key if key == '.' else f'{module}:{key}'}={quoted(value)}]" for key, value in predicates.items()
            )
            out.append(f"/{module}:{name}{keys}")
    except ValueError:
        return text, spaces
    return "".join(out), spaces

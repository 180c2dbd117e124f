"""Reads marked values as the types a field wants; what does not fit is noted and read as absent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Table

from .document import Mapping, Scalar, Sequence, Value, describe
from .problems import Problems, suggest

_INTEGER = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def absent(value: Value | None) -> bool:
    """Not there, or there without a value: containerlab takes `exec:` with nothing behind as unset, and so do we."""
    return value is None or (isinstance(value, Scalar) and value.is_null)


class Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def mapping(self, value: Value | None, what: str) -> Mapping | None:
        if absent(value):
            return None
        if isinstance(value, Mapping):
            return value
        assert value is not None
        self.problems.add(value, f"{what} must be a mapping, not {describe(value)}", "write key: value pairs below it")
        return None

    def fields(self, value: Mapping, where: str, known: frozenset[str], unsupported: Table[str, str]) -> None:
        """Refuse what we do not know and, with a reason of its own, what containerlab knows and we do not support."""
        for name, (key, _) in value.entries.items():
            if name in known:
                continue
            if name in unsupported:
                self.problems.add(key, f'the field "{name}" of {where} is not supported', unsupported[name])
            else:
                remedy = suggest(name, known, f"{where} may have: {', '.join(sorted(known))}")
                self.problems.add(key, f'unknown field "{name}" in {where}', remedy)

    def text(self, value: Value | None, what: str) -> Scalar | None:
        """Any scalar as its own text: Go's yaml.v2 reads `12` and `yes` into string fields the same way."""
        if absent(value):
            return None
        if isinstance(value, Scalar):
            return value
        assert value is not None
        self.problems.add(value, f"{what} must be text, not {describe(value)}", "write one value in one line")
        return None

    def matched(self, value: Value | None, what: str, pattern: re.Pattern[str], remedy: str) -> str | None:
        scalar = self.text(value, what)
        if scalar is None:
            return None
        if pattern.fullmatch(scalar.text):
            return scalar.text
        self.problems.add(scalar, f"{what} cannot be {describe(scalar)}", remedy)
        return None

    def integer(self, value: Value | None, what: str, low: int, high: int) -> int | None:
        scalar = self.text(value, what)
        if scalar is None:
            return None
        if scalar.plain and _INTEGER.fullmatch(scalar.text) and low <= int(scalar.text) <= high:
            return int(scalar.text)
        self.problems.add(scalar, f"{what} cannot be {describe(scalar)}", f"write a number from {low} to {high}")
        return None

    def number(self, value: Value | None, what: str) -> float | None:
        scalar = self.text(value, what)
        if scalar is None:
            return None
        if scalar.plain and _NUMBER.fullmatch(scalar.text) and float(scalar.text) > 0:
            return float(scalar.text)
        self.problems.add(scalar, f"{what} cannot be {describe(scalar)}", "write a number above 0, such as 0.5")
        return None

    def items(self, value: Value | None, what: str) -> list[Value]:
        if absent(value):
            return []
        if isinstance(value, Sequence):
            return value.items
        assert value is not None
        self.problems.add(value, f"{what} must be a list, not {describe(value)}", 'write each item behind "- "')
        return []

    def texts(self, value: Value | None, what: str) -> Iterator[Scalar]:
        for item in self.items(value, what):
            scalar = self.text(item, f"an item of {what}")
            if scalar is not None and scalar.text.strip():
                yield scalar
            elif scalar is not None or absent(item):
                self.problems.add(item, f"an empty item in {what}", "remove it or give it a value")

    def table(self, value: Value | None, what: str) -> Iterator[tuple[Scalar, Scalar]]:
        """The pairs of a mapping of texts."""
        mapping = self.mapping(value, what)
        for key, item in mapping.entries.values() if mapping else ():
            if absent(item):
                self.problems.add(item, f'"{key.text}" of {what} has no value', 'write "" for an empty one')
                continue
            scalar = self.text(item, f'"{key.text}" of {what}')
            if scalar is not None:
                yield key, scalar

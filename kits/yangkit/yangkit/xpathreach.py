"""How far an XPath of a *must*, *when* or leafref can look, told by its text."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = re.compile(
    r"\s*(?:(?P<literal>\"[^\"]*\"|'[^']*'|\d+(?:\.\d*)?|\.\d+)|(?P<sign>\.\.|//|::|[^\w\s])"
    r"|(?P<name>[^\W\d][\w.-]*(?::(?:[^\W\d][\w.-]*|\*))?))"
)
_OPERATORS = frozenset({"and", "or", "div", "mod"})
#: They lead to nodes that no path names.
_LEADING = frozenset({"deref", "id"})
_ENDS = frozenset({".", "..", "]", ")"})
_SLASHES = frozenset({"/", "//"})


def climb(text: str) -> int | None:
    """It sees nothing but what is in the node so many levels above where it begins; None: it may see anything."""
    parts = list(_split(text))
    total = most = run = 0
    nested = "[" in parts
    before = ""
    for number, part in enumerate(parts):
        if part == "::" or part in _LEADING:
            return None
        if part in _SLASHES:
            if not (before in _ENDS or (_is_name(before) and before not in _OPERATORS)):
                return None  # from the root, or after a * that may be either
            nested = nested or (before == ")" and parts[max(number - 3, 0) : number] != ["current", "(", ")"])
        elif before not in _SLASHES:
            run = 0
        if part == "..":
            total, run = total + 1, run + 1
            most = max(most, run)
        before = part
    return total if nested else most


def _is_name(part: str) -> bool:
    return bool(part) and (part[0].isalpha() or part[0] == "_")


def _split(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no XPath")
        yield match[match.lastgroup or 0]
        position = match.end()

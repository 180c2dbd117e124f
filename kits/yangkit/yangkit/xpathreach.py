"""How far an XPath of a *must*, *when* or leafref can look, told by its text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PART = re.compile(
    r"\s*(?:(?P<literal>\"[^\"]*\"|'[^']*'|\d+(?:\.\d*)?|\.\d+)|(?P<sign>\.\.|//|::|[^\w\s])"
    r"|(?P<name>[^\W\d][\w.-]*(?::(?:[^\W\d][\w.-]*|\*))?))"
)
_OPERATORS = frozenset({"and", "or", "div", "mod"})
#: Functions that lead to nodes which no path names.
_LEADING = frozenset({"deref", "id"})
#: What they find has no name in the path.
_ANY = frozenset({"*", "//", "::", ".", "node", "text"})
_ENDS = frozenset({".", "..", "]", ")"})
_SLASHES = frozenset({"/", "//"})
_OF_WHETHER = [([function, "("], [")"]) for function in ("not", "count", "boolean")]
_CURRENT = ["current", "(", ")"]


@dataclass(frozen=True)
class Step:
    """Of a path: the name of a child, without its prefix. ``key``: only if its child of this name is equal to what the
    path leads to that begins at the node which the XPath is of."""

    name: str
    key: tuple[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Way:
    """A path from the root. ``content``: it matters what is there, not only whether it is."""

    steps: tuple[Step, ...]
    content: bool


@dataclass(frozen=True)
class Sight:
    """All that an XPath sees: what is in the nodes that ``ways`` lead to from the root; and what is in the node so many
    levels above where it begins, by way of nodes that have these names (None: any)."""

    levels: int
    names: frozenset[str] | None
    ways: tuple[Way, ...]


def sight(text: str) -> Sight | None:
    """None: it may see anything."""
    parts = list(_split(text))
    rest: list[str] = []
    ways: list[Way] = []
    beside: list[tuple[str, ...]] = []
    at = 0
    while at < len(parts):
        if parts[at] != "/" or not _is_root(rest[-1] if rest else ""):
            rest.append(parts[at])
            at += 1
            continue
        found = _way(parts, at)
        if found is None:
            return None
        way, paths, at = found
        ways.append(way)
        beside += paths
        rest.append("0")
    levels, over = _climb(rest), _names(rest)
    if levels is None:
        return None
    highest = max([levels, *(path.count("..") for path in beside)])
    return Sight(highest, over if over is None else over.union(*beside), tuple(ways))


def names(text: str) -> frozenset[str] | None:
    """The names, without prefixes, of all nodes that its paths may lead over; None: of any."""
    return _names(list(_split(text)))


def _names(parts: Sequence[str]) -> frozenset[str] | None:
    ends_above = any(part == ".." and after != "/" for part, after in itertools.zip_longest(parts, parts[1:]))
    leads = any(part in _LEADING and after == "(" for part, after in itertools.pairwise(parts))
    if leads or ends_above or not _ANY.isdisjoint(parts) or any(part.endswith(":*") for part in parts):
        return None
    return frozenset(_local(part) for part in parts if _is_name(part))


def _way(parts: Sequence[str], at: int) -> tuple[Way, list[tuple[str, ...]], int] | None:
    """A path from the root, paths in its predicates that begin at the current node, and where it ends.

    What is chosen by more than its key is all seen: the path is told as far as there.
    """
    steps: list[Step] = []
    beside, narrowed = [], False
    begun = at
    while parts[at : at + 1] == ["/"]:
        name = parts[at + 1] if at + 1 < len(parts) else ""
        if not _is_name(name) or parts[at + 2 : at + 3] in (["("], ["::"]):
            return None
        at, key, more = at + 2, None, False
        while parts[at : at + 1] == ["["]:
            end = _closing(parts, at)
            inner, paths = _without_current(parts[at + 1 : end])
            if ".." in inner or _climb(inner) is None:
                return None
            beside += paths
            found = _key(inner, paths)
            more = more or found is None or key is not None
            key = key or found
            at = end + 1
        if not narrowed:
            steps.append(Step(_local(name), key))
        narrowed = narrowed or more
    if parts[at : at + 1] == ["//"]:
        return None
    around = (parts[max(begun - 2, 0) : begun], parts[at : at + 1])
    return Way(tuple(steps), narrowed or around not in _OF_WHETHER), beside, at


def _key(inner: Sequence[str], paths: Sequence[tuple[str, ...]]) -> tuple[str, tuple[str, ...]] | None:
    """Of a predicate that says nothing but what one child is equal to."""
    if len(inner) != 3 or len(paths) != 1 or inner[1] != "=":
        return None
    name = inner[0] if inner[2] == "" else inner[2] if inner[0] == "" else ""
    return (_local(name), paths[0]) if _is_name(name) else None


def _without_current(parts: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """What is left when paths that begin at the current node are taken away ('' in the place of each), and these."""
    left: list[str] = []
    paths = []
    at = 0
    while at < len(parts):
        if list(parts[at : at + 3]) != _CURRENT:
            left.append(parts[at])
            at += 1
            continue
        at, path = at + 3, []
        while parts[at : at + 1] == ["/"] and (parts[at + 1] == ".." or _is_name(parts[at + 1])):
            path.append(_local(parts[at + 1]))
            at += 2
        left.append("")
        paths.append(tuple(path))
    return left, paths


def _closing(parts: Sequence[str], at: int) -> int:
    """Where the bracket ends that begins there."""
    depth = 0
    for end in range(at, len(parts)):
        depth += {"[": 1, "]": -1}.get(parts[end], 0)
        if depth == 0:
            return end
    raise ValueError(f"{' '.join(parts)!r} has a bracket without an end")


def climb(text: str) -> int | None:
    """It sees nothing but what is in the node so many levels above where it begins; None: it may see anything."""
    return _climb(list(_split(text)))


def _climb(parts: Sequence[str]) -> int | None:
    total = most = run = 0
    nested = "[" in parts
    before = ""
    for number, part in enumerate(parts):
        if part == "::" or (part in _LEADING and parts[number + 1 : number + 2] == ["("]):
            return None
        if part in _SLASHES:
            if _is_root(before) or before == "*":
                return None  # from the root, or after a * that may be either
            nested = nested or (before == ")" and list(parts[max(number - 3, 0) : number]) != _CURRENT)
        elif before not in _SLASHES:
            run = 0
        if part == "..":
            total, run = total + 1, run + 1
            most = max(most, run)
        before = part
    return total if nested else most


def _is_root(before: str) -> bool:
    """Does a path begin with the slash that comes after this?"""
    return before != "*" and before not in _ENDS and not (_is_name(before) and before not in _OPERATORS)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


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

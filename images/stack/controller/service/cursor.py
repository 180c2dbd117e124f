"""Reading a tree so that nothing in it is passed over: what nobody has asked for is refused with its place."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from yangkit import ApplyError
from yangkit.paths import quoted

UNSUPPORTED = "operation-not-supported"
INVALID = "invalid-value"


class Cursor:
    """A container or list entry and its place, in the notation of RFC 7951, section 6.11."""

    def __init__(self, tree: Mapping[str, Any], path: str) -> None:
        self.tree = tree
        self.path = path
        self._seen: set[str] = set()
        self._below: list[Cursor] = []

    def value(self, name: str, default: Any = None) -> Any:
        """A leaf or leaf-list."""
        self._seen.add(name)
        return self.tree.get(name, default)

    def identity(self, name: str, default: str) -> str:
        """An identity without its module (all that we take are of ietf-l3vpn-svc)."""
        return str(self.value(name, default)).rpartition(":")[2]

    def child(self, name: str) -> Cursor:
        """A container, empty when it is not there."""
        self._seen.add(name)
        return self._enter(self.tree.get(name) or {}, f"{self.path}/{name}")

    def entries(self, name: str, key: str, known: Container[int] = ()) -> Iterator[Cursor]:
        """The entries of a list with one key, but those objects (by their ``id``) that are known."""
        self._seen.add(name)
        for entry in self.tree.get(name, ()):
            if id(entry) in known:
                continue
            cursor = self._enter(entry, f"{self.path}/{name}[{key}={quoted(str(entry[key]))}]")
            cursor._seen.add(key)
            yield cursor

    def information(self, *names: str) -> None:
        """Children that ask nothing of the network."""
        self._seen.update(names)

    def only(self, name: str, allowed: str, default: str, remedy: str) -> None:
        """Refuse an identity or enumeration other than the one that is offered."""
        found = self.identity(name, default)
        if found != allowed:
            raise self.refusal(f"{name} {found} is not offered: {remedy}", name, UNSUPPORTED)

    def refusal(self, message: str, name: str | None = None, tag: str = INVALID) -> ApplyError:
        """The error for this place, or for a child of it."""
        return ApplyError(message, f"{self.path}/{name}" if name else self.path, tag)

    def close(self) -> None:
        """Refuse what nobody has read, here and below."""
        for name, value in self.tree.items():
            if name not in self._seen and not name.startswith("@") and not _void(value):
                plain = name.rpartition(":")[2]
                raise self.refusal(f"{plain} is not offered: leave it out", name, UNSUPPORTED)
        for cursor in self._below:
            cursor.close()

    def _enter(self, tree: Mapping[str, Any], path: str) -> Cursor:
        cursor = Cursor(tree, path)
        self._below.append(cursor)
        return cursor


def _void(value: Any) -> bool:
    """A container without content says nothing (RFC 7950, section 7.5.1); nor does an empty list."""
    if isinstance(value, Mapping):
        return all(_void(item) for item in value.values())
    return isinstance(value, list) and not value

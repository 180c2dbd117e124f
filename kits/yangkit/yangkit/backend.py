"""What stands behind a datastore: the system that its configuration describes."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from yangkit.paths import Path

Tree = dict[str, Any]
"""A data tree as an RFC 7951 JSON object: names are qualified where the module changes."""


Wanted = frozenset[str] | None
"""Top-level nodes by their qualified names; None means all."""


class ApplyError(Exception):
    """The backend refuses a configuration; nothing has changed.

    ``tag`` is an RFC 6241 error-tag, ``path`` an instance identifier in the notation of RFC 7951, section 6.11.
    """

    def __init__(self, message: str, path: str | None = None, tag: str = "operation-failed") -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.tag = tag


class Backend(Protocol):
    """Implemented by whoever owns the system. Calls to ``apply`` never overlap."""

    async def apply(self, old: Tree, new: Tree) -> None:
        """Make the system be ``new``, as a whole or not at all; ``ApplyError`` refuses. Nobody changes the trees."""

    async def state(self, wanted: Wanted = None) -> Tree:
        """Operational data (config false), merged into the replies to <get>. Of other top-level nodes than the
        ``wanted`` ones nothing will be read: they need not be told."""
        ...


@runtime_checkable
class Narrow(Protocol):
    """A backend that can tell some of its state without all the rest beside it."""

    async def state_at(self, path: Path) -> Tree | None:
        """Operational data: at least what is at this place, with the keys on the way; None when only ``state`` can."""
        ...


class NullBackend:
    """A backend without a system: every configuration is accepted. For servers that only keep data."""

    async def apply(self, old: Tree, new: Tree) -> None:
        """Accept."""

    async def state(self, wanted: Wanted = None) -> Tree:
        """No operational data."""
        return {}

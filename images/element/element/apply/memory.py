"""What charon cannot tell and a restart of this program must not forget: which versions of connections SAs may have
been made by, and which entries of revocation lists were carried out. It lives as long as SAs may: the machine's start
empties its folder.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Set
from pathlib import Path
from typing import Any

from element import storage

log = logging.getLogger(__name__)

Message = dict[str, Any]


class Memory:
    """A file, which is there while there is something to remember."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: dict[str, list[Message]] = {}
        self._revoked: dict[str, list[str]] = {}
        try:
            facts = json.loads(path.read_bytes())
            self._connections, self._revoked = dict(facts["connections"]), dict(facts["revoked"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("%s is of no use: %s; what changed while this program was away stays as it was", path, error)

    @property
    def connections(self) -> Set[str]:
        """Names of the connections that may have SAs."""
        return self._connections.keys()

    def versions(self, name: str) -> tuple[Message, ...]:
        """All versions of a connection that SAs may have been made by."""
        return tuple(self._connections.get(name, ()))

    def add(self, name: str, message: Message) -> None:
        """SAs may be made by this version from now on."""
        if message not in self._connections.get(name, ()):
            self._connections.setdefault(name, []).append(message)
            self._keep()

    def settle(self, name: str, message: Message) -> None:
        """All SAs of a connection are as this version has them."""
        if self._connections.get(name) != [message]:
            self._connections[name] = [message]
            self._keep()

    def forget(self, name: str) -> None:
        """A connection has no SAs any more."""
        if self._connections.pop(name, None) is not None:
            if not self._connections:  # nobody has any
                self._revoked.clear()
            self._keep()

    def revoked(self, authority: str) -> frozenset[int]:
        """Serial numbers whose SAs have been ended; whoever has them makes no new ones."""
        return frozenset(int(number, 16) for number in self._revoked.get(authority, ()))

    def carry_out(self, authority: str, numbers: Collection[int]) -> None:
        """The SAs of these have been ended, and no others are on the authority's list."""
        listed = sorted(f"{number:x}" for number in numbers)
        if self._revoked.get(authority) != listed:
            self._revoked[authority] = listed
            self._keep()

    def _keep(self) -> None:
        if not self._connections and not self._revoked:
            self._path.unlink(missing_ok=True)
            return
        facts = {"connections": self._connections, "revoked": self._revoked}
        try:
            storage.folder(self._path.parent)
            storage.write(self._path, json.dumps(facts).encode())
        except OSError as error:  # it matters when this program is killed, too
            log.error("%s cannot be written: %s", self._path, error)

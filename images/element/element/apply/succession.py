"""When two child SAs protect the same traffic, the end that is called sends through the older one until it is gone.

Reauthentication makes the new SAs before it ends the old ones. Who is called has them first: what it sent through them
at once would arrive before the caller can decrypt it (RFC 7296, section 1.2: it MAY defer), and under load packets are
lost at each reauthentication. The caller ends the old SAs when it has the new ones. So here each new SA gets a lower
precedence than those before it: the policy names the older SA, and charon turns it to the next before it removes one.

The next reauthentication may come right after one: an element that is at work on the whole machine cannot be waited
for. So this is a thread's and a session's of its own; what it tells charon again is what was told last.

A caller that lost its SAs says so (INITIAL_CONTACT) or comes from elsewhere; charon then drops the old ones at once,
unless the connection says that they never go (``unique`` never): there the newest counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from element.apply.daemon import Daemon, Message


class Succession:
    """The precedence of connections' next child SAs, for vici's ``priority``: a lower number goes first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # held over a command: what was told last is what charon has last
        self._told: dict[str, Message] = {}
        self._next: dict[str, int] = {}
        self._known: dict[str, frozenset[str]] = {}

    def clear(self) -> None:
        """Forget all that charon was told; what comes is still later than what was."""
        with self._lock:
            self._told.clear()
            self._known.clear()

    def forget(self, name: str) -> None:
        """A connection is about to be unloaded: it is not told again."""
        with self._lock:
            self._told.pop(name, None)

    def tell(self, name: str, message: Message, charon: Daemon) -> None:
        """Load a connection, its next SAs to come after all that it has."""
        with self._lock:
            self.order(name, message)
            self._told[name] = message
            charon.call("load_conn", {name: message})

    def line_up(self, charon: Daemon) -> None:
        """Let the next SAs of a connection come after those that it has got since. From any one thread."""
        for name in self.outdated(charon.associations() if self._told else ()):
            with self._lock:
                if name in self._told:
                    self.tell(name, self._told[name], charon)

    def order(self, name: str, message: Mapping[str, Any]) -> None:
        """Give the children of a connection that others start the precedence of what comes after all that is."""
        children = message["children"].values()
        if (
            message["version"] != "2"
            or message["unique"] == "never"
            or any(c["start_action"] != "none" for c in children)
        ):
            return
        # Seconds since the box was started: later than anything that a former life of this program gave.
        self._next[name] = max(int(time.clock_gettime(time.CLOCK_BOOTTIME)), self._next.get(name, 0)) + 1
        for child in children:
            child["priority"] = str(self._next[name])

    def outdated(self, associations: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """Connections that have got an SA since: the next one has to come after it."""
        now: dict[str, set[str]] = {}
        for sa in associations:
            now.setdefault(sa["name"], set()).add(sa["uniqueid"])
        for name in self._next.keys() & now.keys():
            if now[name] - self._known.get(name, frozenset()):
                yield name
        self._known = {name: frozenset(ids) for name, ids in now.items()}

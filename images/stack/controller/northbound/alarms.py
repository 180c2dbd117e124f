"""What the controller gives alarm for (RFC 8632): callers it does not believe, copied keys, sites that are down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from stackkit import alarms
from stackkit.alarms import Clear, Raise
from stackkit.database import Database
from yangkit import Tree
from yangkit.paths import quoted

from controller.operational.sites import Judged
from controller.operational.watch import CloudState, SiteState

log = logging.getLogger(__name__)
MODULE = "elasticlab-network"
REFUSED, CLONED, SITE_DOWN, CLOUD_DOWN = "device-refused", "device-cloned", "site-down", "cloud-down"
_SEVERITIES = {REFUSED: "warning", CLONED: "critical", SITE_DOWN: "major", CLOUD_DOWN: "major"}
#: A refused caller calls again every other second: the same alarm is written again after so many seconds.
AGAIN = 30.0
#: So many are written together, at most: whoever else writes waits meanwhile.
AT_ONCE = 200


def device(name: str) -> str:
    """The resource of an alarm about a device (RFC 8632, section 3.2.1)."""
    return f"/{MODULE}:network/device[name={quoted(name)}]"


def site(name: str) -> str:
    """The resource of an alarm about a site."""
    return f"/{MODULE}:network/site[site-id={quoted(name)}]"


def cloud(vpn: str, identifier: str) -> str:
    """The resource of an alarm about a cloud access."""
    return f"/{MODULE}:network/cloud[vpn-id={quoted(vpn)}][cloud-identifier={quoted(identifier)}]"


class Desk:
    """Takes reports on the loop and writes them in the background, one after the other."""

    def __init__(self, database: Database) -> None:
        self._list = alarms.Alarms(database, MODULE, _SEVERITIES, (REFUSED,))
        self._queue: asyncio.Queue[Raise | Clear] = asyncio.Queue()
        self._written: dict[tuple[str, str, str], float] = {}

    def tree(self) -> Tree:
        """The alarm list as ``ietf-alarms``; it reads the disk."""
        return self._list.tree()

    async def run(self) -> None:
        """For ever: write what is reported; what has come meanwhile waits for the disk together."""
        while True:
            words = [await self._queue.get()]
            while len(words) < AT_ONCE and not self._queue.empty():
                words.append(self._queue.get_nowait())
            try:
                await asyncio.to_thread(self._list.take, words)
            except Exception:
                log.exception("%d words about alarms could not be written at once: each by itself", len(words))
                await self._each(words)

    async def _each(self, words: Sequence[Raise | Clear]) -> None:
        for word in words:
            try:
                await asyncio.to_thread(self._list.take, [word])
            except Exception:
                log.exception("an alarm could not be written")

    def device(self, name: str, kind: str, text: str) -> None:
        """A caller is refused, or cloned (``southbound.sessions.Alarm``)."""
        now = asyncio.get_running_loop().time()
        key = (name, kind, text)
        if now - self._written.get(key, -AGAIN) < AGAIN:
            return
        self._written = {known: at for known, at in self._written.items() if now - at < AGAIN} | {key: now}
        self._queue.put_nowait(Raise(kind, device(name), text))

    def site(self, name: str, state: SiteState | None) -> None:
        """A site has changed (``operational.watch.Watcher.on_site``)."""
        self._state(SITE_DOWN, site(name), None if state is None else state.judged)

    def cloud(self, vpn: str, identifier: str, state: CloudState | None) -> None:
        """A cloud access has changed (``operational.watch.Watcher.on_cloud``)."""
        self._state(CLOUD_DOWN, cloud(vpn, identifier), None if state is None else state.judged)

    def _state(self, kind: str, resource: str, judged: Judged | None) -> None:
        if judged is not None and judged.state in ("down", "failed"):
            reason = judged.reason or judged.state
            self._queue.put_nowait(Raise(kind, resource, reason))
        elif judged is None or judged.state == "up":
            # Also one that was down before a restart, of which we know nothing here.
            self._queue.put_nowait(Clear(resource, (kind,)))

    def admitted(self, name: str, connected: bool) -> None:
        """A device has come: what was said of refused callers and of clones of its name is over."""
        if connected:
            self.over(name)

    def over(self, name: str) -> None:
        """Nothing is wrong with this device any more."""
        self._written = {key: at for key, at in self._written.items() if key[0] != name}
        self._queue.put_nowait(Clear(device(name)))

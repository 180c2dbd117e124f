"""Confirmed commit: RFC 6241, section 8.4.

While one is pending the startup file keeps the configuration from before it, so that whatever ends the process (a
crash, a power cut) restores that one. The confirming commit writes the file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from yangkit.datastores import Datastores
from yangkit.errors import RpcError
from yangkit.tree import Container

log = logging.getLogger(__name__)
DEFAULT_TIMEOUT = 600
Event = Literal["start", "cancel", "timeout", "extend", "complete"]


@dataclass
class Pending:
    """A commit that waits to be confirmed."""

    before: Container
    session: int
    user: str | None
    persist_id: str | None
    timer: asyncio.TimerHandle
    timeout: int


class Commits:
    """The operations <commit> and <cancel-commit>."""

    def __init__(self, stores: Datastores) -> None:
        self._stores = stores
        self.pending: Pending | None = None
        self.listeners: list[Callable[[Event, int, str | None, int], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        # Commits, cancellations and reversions follow each other; none starts while another one changes the system.
        self._turn = asyncio.Lock()

    def blocker(self, session: int) -> int | None:
        """The session (0: none) whose pending commit keeps this one from running; None when there is none."""
        pending = self.pending
        if pending is None or (pending.persist_id is None and pending.session == session):
            return None
        return 0 if pending.persist_id is not None else pending.session

    def check_free(self, session: int) -> None:
        """Raise in-use when running waits for another session's confirmation."""
        blocker = self.blocker(session)
        if blocker is not None:
            raise RpcError(
                "in-use", "A confirmed commit is pending", type="protocol", info={"session-id": str(blocker)}
            )

    async def commit(
        self,
        new: Callable[[], Container],
        session: int,
        user: str | None,
        *,
        confirmed: bool = False,
        seconds: int = DEFAULT_TIMEOUT,
        persist: str | None = None,
        persist_id: str | None = None,
    ) -> None:
        """Make the candidate (``new`` gives it, checked, when it is our turn) running, for good or until confirmed."""
        async with self._turn:
            pending = self.pending
            self._check_id(session, persist_id)
            before = self._stores.running_tree

            def checked() -> Container:
                nonlocal before
                before = pending.before if pending is not None else self._stores.running_tree
                return new()

            await self._stores.set_running(checked, session=session, user=user, durable=not confirmed)
            self._stores.frozen = confirmed
            self._stores.discard()
            if pending is not None:
                pending.timer.cancel()
                self.pending = None
            if confirmed:
                timer = asyncio.get_running_loop().call_later(seconds, self._timed_out)
                self.pending = Pending(before, session, user, persist, timer, seconds)
                self._tell("extend" if pending is not None else "start", session, user, seconds)
            elif pending is not None:
                self._tell("complete", session, user, 0)

    def _check_id(self, session: int, persist_id: str | None) -> None:
        pending = self.pending
        if persist_id is not None and (pending is None or pending.persist_id != persist_id):
            message = "No pending confirmed commit has this persist-id"
            raise RpcError("invalid-value", message, type="protocol", info={"bad-element": "persist-id"})
        if persist_id is None:
            self.check_free(session)

    async def cancel(self, session: int, user: str | None, persist_id: str | None) -> None:
        """Give a pending commit up (RFC 6241, section 8.4.4.1)."""
        async with self._turn:
            if self.pending is None and persist_id is None:
                raise RpcError("operation-failed", "No confirmed commit is pending", type="protocol")
            self._check_id(session, persist_id)
            await self._revert("cancel", session, user)

    def session_ended(self, session: int) -> None:
        """A commit that is bound to its session goes with it."""
        pending = self.pending
        if pending is not None and pending.persist_id is None and pending.session == session:
            self._start_revert("cancel", pending)

    def _timed_out(self) -> None:
        if self.pending is not None:
            self._start_revert("timeout", self.pending)

    def _start_revert(self, event: Event, pending: Pending) -> None:
        async def run() -> None:
            async with self._turn:
                if self.pending is pending:
                    await self._revert(event, pending.session, pending.user)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revert(self, event: Event, session: int, user: str | None) -> None:
        pending = self.pending
        assert pending is not None
        pending.timer.cancel()
        self.pending = None
        self._stores.frozen = False
        log.warning("a confirmed commit is reverted: %s", event)
        await self._stores.revert_to(pending.before)
        self._tell(event, session, user, 0)

    def _tell(self, event: Event, session: int, user: str | None, timeout: int) -> None:
        for listener in self.listeners:
            listener(event, session, user, timeout)

    async def close(self) -> None:
        """The server ends: a pending commit is not confirmed, and the next start will not find it."""
        if self.pending is not None:
            self.pending.timer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

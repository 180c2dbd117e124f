"""The datastores running, candidate and startup (RFC 6241, sections 5 and 8), and their locks.

There is no distinct startup datastore (RFC 6241, section 8.7, is not advertised): what is in running is in the startup
file before it is acknowledged. The exception is a confirmed commit (``yangkit.confirmed``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from yangkit import treejson, validation
from yangkit.backend import ApplyError, Backend, Tree
from yangkit.errors import TAGS, RpcError
from yangkit.group import Edit, Group, Queue, Step, Waiting
from yangkit.paths import qualify
from yangkit.rebase import rebase
from yangkit.schema import Schema
from yangkit.startup import Startup, StartupError
from yangkit.tree import Container, empty

log = logging.getLogger(__name__)
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0
# Given what is running and what shall be: ApplyError refuses.
Check = Callable[[Tree, Tree], None]


@dataclass(frozen=True)
class Lock:
    """Who holds a datastore, since when."""

    session: int
    since: datetime


@dataclass(frozen=True)
class Changed:
    """Running has become another one; ``session`` 0 is the server itself."""

    old: Container
    new: Container
    session: int
    user: str | None


class NotDurableError(RpcError):
    """The disk has not taken a configuration."""


class Datastores:
    """Configuration, and the backend that it is applied to."""

    def __init__(
        self,
        schema: Schema,
        backend: Backend,
        startup: Path | None,
        default: Tree | None = None,
        *,
        check: Check | None = None,
        many_edits: bool = False,
    ) -> None:
        """Without a ``startup`` file nothing outlives the process: for servers that are simulated.

        With ``many_edits`` only what they change is written (``yangkit.startup``), only what that can reach is
        validated (``yangkit.reach``), and the trees that ``check`` and the backend get are kept, and share what is
        equal in them: it is quicker, and takes memory.
        """
        self.schema = schema
        self.backend = backend
        self._many_edits = many_edits
        self._told = treejson.shared if many_edits else treejson.dump
        self.files = None if startup is None else Startup(schema, startup, journal=many_edits)
        self._default = default
        self._check = check
        self.running_tree = empty(schema)
        self.candidate_tree = self.running_tree
        self.locks: dict[str, Lock] = {}
        self.lock_changes: list[Callable[[], None]] = []
        self.change_listeners: list[Callable[[Changed], None]] = []
        self._apply_problem: str | None = None
        self._startup_problem: str | None = None
        #: A confirmed commit is pending: the startup file stays as it is.
        self.frozen = False
        self._applied: Container | None = None
        self._busy = asyncio.Lock()
        self._edits = Queue(self._carry_out)
        self._retrying: asyncio.Task[None] | None = None

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the startup file (without one, the default) and apply it; a backend that refuses is retried."""
        self.running_tree = self.candidate_tree = self._load()
        async with self._busy:
            await self._reapply()

    def _load(self) -> Container:
        if self.files is not None and (kept := self._kept(self.files)) is not None:
            return kept
        if self._default is None:
            return empty(self.schema)
        tree = treejson.load(self.schema, self._default)
        validation.check(self.schema, tree)
        return tree

    def _kept(self, files: Startup) -> Container | None:
        try:
            tree = files.read()
            if tree is not None:
                validation.check(self.schema, tree)
            return tree
        except (StartupError, RpcError) as error:
            # The broken file stays for whoever repairs it; the next commit would replace it.
            kept = files.put_aside()
            self._startup_problem = (
                f"the startup configuration is not usable, the default is used: {error} (kept as {kept})"
            )
            log.error("%s", self._startup_problem)
        return None

    async def close(self) -> None:
        """Finish the edits that were begun, and stop what runs in the background."""
        await self._edits.close()
        if self.files is not None:
            with contextlib.suppress(OSError):  # what was acknowledged is on the disk, be it in two files
                await asyncio.to_thread(self.files.fold)
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)

    @property
    def running(self) -> Tree:
        """The running configuration as a dictionary of the caller's own."""
        return treejson.dump(self.running_tree)

    @property
    def told(self) -> Tree:
        """The same as the backend was told it, which nobody may change."""
        return self._told(self.running_tree)

    @property
    def applied(self) -> bool:
        """Is the system as running says?"""
        return self._applied is self.running_tree

    @property
    def problem(self) -> str | None:
        """Why the system is not as running says, or running not as it was; None when all is well."""
        return self._apply_problem or self._startup_problem

    @property
    def modified(self) -> bool:
        """Does the candidate differ from running?"""
        return self.candidate_tree is not self.running_tree and not self.candidate_tree.same(self.running_tree)

    # -- running -----------------------------------------------------------------------------------------------------

    async def replace_running(self, tree: Tree, *, session: int = 0, user: str | None = None) -> None:
        """Make this the running configuration: validated, applied, durable, announced."""
        new = treejson.load(self.schema, tree)
        await self.set_running(lambda: new, session=session, user=user)

    async def set_running(
        self,
        new: Callable[[], Container],
        *,
        session: int = 0,
        user: str | None = None,
        durable: bool | None = None,
    ) -> None:
        """Make a tree the running configuration; RpcError when it is not valid, not applied or not written.

        ``new`` gives it when no other change is under way, so that it may follow from running or the candidate.
        """
        async with self._busy:
            old = self.running_tree
            tree = await self._make_running(self._settled(new(), old, set()), durable)
            self._became(tree)
            self._tell(Changed(old, tree, session, user))

    async def edit_running(
        self, edit: Edit, *, session: int = 0, user: str | None = None, carry_over: bool = False
    ) -> Container:
        """Change running by a function of it, which runs when no other change is under way: none is lost.

        Whatever the function checks of the datastores (locks, rights, preconditions) still holds when it is done.
        With ``carry_over`` a candidate that differs from running gets the change as well (``yangkit.rebase``).
        Edits that come meanwhile are carried out together (``yangkit.group``); the tree is what this one has made.
        """
        return await self._edits.put(edit, session, user, carry_over)

    async def _carry_out(self, waiting: list[Waiting]) -> None:
        async with self._busy:
            await self._in_groups(waiting)

    async def _in_groups(self, waiting: list[Waiting]) -> None:
        while waiting:
            group = Group(self.running_tree)
            taken = 0
            while taken < len(waiting) and group.take(waiting[taken]):
                taken += 1
            await self._together(group, waiting[:taken])
            waiting = waiting[taken:]

    async def _together(self, group: Group, members: list[Waiting]) -> None:
        """All of a group, or each by itself: what only one of them is refused for does not fail the others."""
        try:
            await self._make_group(group)
        except NotDurableError as error:
            for one in members:
                one.fail(NotDurableError(error.tag, error.message))
        except RpcError as error:
            if len(members) == 1:
                members[0].fail(error)
                return
            half = len(members) // 2
            await self._in_groups(members[:half])
            await self._in_groups(members[half:])

    async def _make_group(self, group: Group) -> None:
        if group.tree is not group.old:
            tree = self._settled(group.tree, group.old, group.touched)
            group.settled(tree)
            self._became(await self._make_running(tree, None), group.steps)
            for step in group.steps:
                change = Changed(step.old, step.new, step.by.session, step.by.user)
                step.by.context.run(self._tell, change)
        group.tell()

    def _settled(self, tree: Container, old: Container, touched: set[str]) -> Container:
        return validation.settle(self.schema, tree, old, touched, partly=self._many_edits)

    async def _make_running(self, new: Container, durable: bool | None) -> Container:
        """Admitted, applied and, unless something else is said, on the disk: the tree that running is now to be."""
        before = self._applied or empty(self.schema)
        if new.same(self.running_tree) and self.applied:
            new = self.running_tree
        else:
            self._admit(self.running_tree, new)
            await self._apply(before, new)
        if durable if durable is not None else not self.frozen:
            await self._write(new, before)
        return new

    def _admit(self, old: Container, new: Container) -> None:
        """Only of what is new: what was running once is never refused, whatever has become of the world since."""
        if self._check is None:
            return
        try:
            self._check(self._told(old), self._told(new))
        except ApplyError as error:
            raise self._refused(error) from None

    async def _apply(self, before: Container, new: Container) -> None:
        try:
            await self.backend.apply(self._told(before), self._told(new))
        except ApplyError as error:
            raise self._refused(error) from None
        except Exception as error:
            log.exception("the backend failed")
            self._apply_problem = f"the backend failed: {error!r}"
            self._applied = None
            self._retry_later()
            raise RpcError("operation-failed", f"The system could not be changed: {error!r}") from error

    def _refused(self, error: ApplyError) -> RpcError:
        path, spaces = qualify(self.schema, error.path) if error.path else (None, {})
        tag = error.tag if error.tag in TAGS else "operation-failed"
        return RpcError(tag, error.message, path=path, path_namespaces=spaces)

    async def _write(self, new: Container, before: Container) -> None:
        if self.files is None or self.files.written is new:
            return
        try:
            await asyncio.to_thread(self.files.write, new)
            self._startup_problem = None
        except OSError as error:
            if new is not self.running_tree:
                await self._apply(new, before)
            message = f"the configuration cannot be made durable: {self.files.path}: {error.strerror or error}"
            raise NotDurableError("resource-denied", message) from None

    def _became(self, new: Container, steps: Iterable[Step] = ()) -> None:
        old, self.running_tree = self.running_tree, new
        self._apply_problem = None
        self._applied = new
        if self.candidate_tree is old:
            self.candidate_tree = new
        elif self.modified:
            for step in steps:
                if step.by.carry_over:
                    self.candidate_tree = rebase(step.old, step.new, self.candidate_tree)

    def _tell(self, change: Changed) -> None:
        if change.new is not change.old:
            for listener in self.change_listeners:
                listener(change)

    async def revert_to(self, old: Container) -> None:
        """Go back to an earlier running configuration; a backend that refuses is retried until it does."""
        async with self._busy:
            abandoned = self.running_tree
            self.running_tree = old
            if self.candidate_tree is abandoned:
                self.candidate_tree = old
            await self._reapply()
        self._tell(Changed(abandoned, old, 0, None))

    async def _reapply(self) -> None:
        """Make the system be as running says; on failure say why, and try again later."""
        before = self._applied or empty(self.schema)
        target = self.running_tree
        try:
            await self.backend.apply(self._told(before), self._told(target))
        except Exception as error:
            where = f" at {error.path}" if isinstance(error, ApplyError) and error.path else ""
            self._apply_problem = f"the running configuration is not applied{where}: {error}"
            log.warning("%s", self._apply_problem, exc_info=not isinstance(error, ApplyError))
            if not isinstance(error, ApplyError):
                self._applied = None
            self._retry_later()
            return
        self._applied = target
        self._apply_problem = None

    def _retry_later(self) -> None:
        if self._retrying is None or self._retrying.done():
            self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        wait = _FIRST_RETRY
        while not self.applied:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LAST_RETRY)
            async with self._busy:
                if not self.applied:
                    await self._reapply()
        log.info("the running configuration is applied")

    # -- candidate ---------------------------------------------------------------------------------------------------

    def discard(self) -> None:
        """The candidate becomes a copy of running (RFC 6241, section 8.3.4.2)."""
        self.candidate_tree = self.running_tree

    # -- locks -------------------------------------------------------------------------------------------------------

    def lock(self, name: str, session: int, blocker: int | None = None) -> None:
        """Lock a datastore for a session (RFC 6241, section 7.5); ``blocker`` holds it by a confirmed commit."""
        held = self.locks.get(name)
        if held is not None:
            raise lock_denied(held.session, f"{name} is locked by session {held.session}")
        if blocker is not None:
            raise lock_denied(blocker, "a confirmed commit is pending")
        if name == "candidate" and self.modified:
            raise lock_denied(0, "the candidate has changes that are neither committed nor discarded")
        self.locks[name] = Lock(session, datetime.now(UTC))

    def unlock(self, name: str, session: int) -> None:
        """Give a lock back; changes of a locked candidate are discarded (RFC 6241, section 8.3.5.2)."""
        held = self.locks.get(name)
        if held is None or held.session != session:
            raise RpcError("operation-failed", f"session {session} has no lock on {name}", type="protocol")
        del self.locks[name]
        if name == "candidate":
            self.discard()

    def release(self, session: int) -> None:
        """A session ends: its locks go."""
        for name in [name for name, held in self.locks.items() if held.session == session]:
            self.unlock(name, session)

    def check_unlocked(self, name: str, session: int) -> None:
        """Raise in-use when another session has locked the datastore."""
        held = self.locks.get(name)
        if held is not None and held.session != session:
            message = f"{name} is locked by session {held.session}"
            raise RpcError("in-use", message, type="protocol", info={"session-id": str(held.session)})


def lock_denied(session: int, reason: str) -> RpcError:
    """RFC 6241, appendix A: session-id 0 stands for somebody who is no NETCONF session."""
    return RpcError("lock-denied", f"The lock is denied: {reason}", info={"session-id": str(session)})


Revert = Callable[[], Awaitable[None]]

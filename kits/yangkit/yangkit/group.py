"""Edits that come while others are carried out wait, and are then carried out together.

One validation, one commit to the backend and one wait for the disk are so shared by all who asked meanwhile; whoever is
alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace

from yangkit.diff import changes
from yangkit.errors import RpcError
from yangkit.tree import Container

# From running to what it shall be, with the instances that the client itself mentions (``Editor.touched``). It may be
# called again, with another tree: what it does must be done in the tree alone.
Edit = Callable[[Container], tuple[Container, set[str]]]
Steps = tuple[object, ...]


@dataclass
class Waiting:
    """An edit, whose it is, and who waits for it: the result is the tree that it has made."""

    edit: Edit
    session: int
    user: str | None
    carry_over: bool
    done: asyncio.Future[Container]
    #: In which its listeners are called: what the log says is said on behalf of whoever asked.
    context: Context = field(default_factory=copy_context)

    def succeed(self, tree: Container) -> None:
        if not self.done.done():
            self.done.set_result(tree)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True)
class Step:
    """What one of a group has done to the tree before it."""

    by: Waiting
    old: Container
    new: Container


@dataclass
class Group:
    """Edits one after the other, each on the tree that those before it have left; no two of them change the same.

    What one refuses is known for sure only when those before it were accepted.
    """

    old: Container
    tree: Container = field(init=False)
    steps: list[Step] = field(default_factory=list)
    refused: list[tuple[Waiting, Exception]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    _changed: set[Steps] = field(default_factory=set)
    _above: set[Steps] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tree = self.old

    def __len__(self) -> int:
        return len(self.steps) + len(self.refused)

    def take(self, one: Waiting) -> bool:
        """Let an edit join; False when it changes what another one of the group does."""
        try:
            new, touched = one.context.run(one.edit, self.tree)
        except Exception as error:
            self.refused.append((one, error))
            return True
        places = [path.steps for _, path in changes(self.tree, new, deep=False)]
        if len(self) and not self._apart(places):
            return False
        self._changed.update(places)
        self._above.update(place[:length] for place in places for length in range(len(place)))
        self.steps.append(Step(one, self.tree, new))
        self.tree, self.touched = new, self.touched | touched
        return True

    def _apart(self, places: Iterable[Steps]) -> bool:
        return not any(
            place in self._above or any(place[:length] in self._changed for length in range(len(place) + 1))
            for place in places
        )

    def settled(self, tree: Container) -> None:
        """The group's tree is this one, once it has become valid; what went with it was by one edit only."""
        if tree is self.tree:
            return
        if len(self.steps) > 1:
            raise RpcError("operation-failed", "whose edit takes other nodes along is told by each alone")
        self.tree = tree
        self.steps[-1] = replace(self.steps[-1], new=tree)

    def tell(self) -> None:
        """All of it is done: each is told its own."""
        for one, error in self.refused:
            one.fail(error)
        for step in self.steps:
            step.by.succeed(step.new)


class Queue:
    """Those who wait. ``carry_out`` gets them in the order in which they came, and tells each."""

    def __init__(self, carry_out: Callable[[list[Waiting]], Awaitable[None]]) -> None:
        self._carry_out = carry_out
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def put(self, edit: Edit, session: int, user: str | None, carry_over: bool) -> Container:
        """Wait for one's turn, and until it is done; the tree that results, or the error that there was."""
        one = Waiting(edit, session, user, carry_over, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await one.done

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._carry_out([one for one in batch if not one.done.done()])
            except Exception as error:  # a defect of ours, told to those whom it concerns
                for one in batch:
                    one.fail(error)

    async def close(self) -> None:
        """What was begun is finished."""
        if self._worker is not None:
            await asyncio.gather(self._worker, return_exceptions=True)

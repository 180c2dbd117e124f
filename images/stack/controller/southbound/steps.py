"""One device's part of a network-wide commit: NETCONF operations, and what their answers mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import NamedTuple
from weakref import WeakSet

from yangkit.client import NetconfClient
from yangkit.errors import RpcError

from controller.southbound import patience
from controller.southbound.transaction import Answer


class Report(NamedTuple):
    """A device's answer, why, and where in its configuration."""

    answer: Answer
    reason: str = ""
    path: str = ""


DONE = Report(Answer.DONE)
#: Sessions with an operation under way, whose own deadline says whether the device lives: it answers in their order.
engaged: WeakSet[NetconfClient] = WeakSet()
#: For the client: who asks has the deadline (``ask``).
_NEVER = inf


async def ask(
    client: NetconfClient | None,
    operation: Callable[[NetconfClient], Awaitable[None]],
    *,
    seconds: float | None = None,
    last_word: bool = False,
) -> Report:
    """Do an operation on a device and say how it went; only defects of ours raise.

    ``seconds`` are those that a device may take for it which is not overloaded (``southbound.patience``).

    To a ``last_word`` (confirm, cancel) only one refusal is an answer: that no commit has this persist-id
    (invalid-value; RFC 6241, section 8.4). After any other the device may still wait for it.
    """
    if client is None:
        return Report(Answer.GONE, "it is not connected")
    engaged.add(client)
    try:
        await patience.answer(client, operation(client), patience.DEADLINE if seconds is None else seconds)
    except RpcError as error:
        heard = not last_word or error.tag == "invalid-value"
        return Report(Answer.REFUSED if heard else Answer.GONE, str(error), error.path or "")
    except TimeoutError:
        # A session that hangs keeps its locks: it must go, so that the next one finds them free.
        client.abort()
        return Report(Answer.GONE, "it did not answer in time")
    except OSError as error:
        return Report(Answer.GONE, str(error))
    finally:
        engaged.discard(client)
    return DONE


async def lock(client: NetconfClient) -> None:
    """Keep others from the candidate (RFC 6241, section 7.5)."""
    await client.lock("candidate", _NEVER)


async def unlock(client: NetconfClient) -> None:
    """Let others to the candidate again; what is in it and not committed is discarded."""
    await client.unlock("candidate", _NEVER)


async def edit(client: NetconfClient, config: str) -> None:
    """Put the edits into the candidate, and check the result as the device sees it."""
    await client.edit_config(config, "candidate", error_option="rollback-on-error", deadline=_NEVER)
    await client.validate("candidate", _NEVER)


async def commit_confirmed(client: NetconfClient, persist_id: str, seconds: int) -> None:
    """Commit; the device reverts by itself after so many seconds without a word (RFC 6241, section 8.4)."""
    await client.commit(confirmed=True, confirm_timeout=seconds, persist=persist_id, deadline=_NEVER)


async def extend(client: NetconfClient, persist_id: str, seconds: int) -> None:
    """Have a commit wait for so many seconds more (RFC 6241, section 8.4.1)."""
    again = {"persist": persist_id, "persist_id": persist_id}
    await client.commit(confirmed=True, confirm_timeout=seconds, deadline=_NEVER, **again)


async def confirm(client: NetconfClient, persist_id: str) -> None:
    """Make the commit stay."""
    await client.commit(persist_id=persist_id, deadline=_NEVER)


async def confirm_late(client: NetconfClient, persist_id: str) -> None:
    """Make a commit stay that has waited. Under the lock: somebody may have edited the candidate since, and a
    confirming commit would commit that too."""
    await lock(client)
    try:
        await confirm(client, persist_id)
    finally:
        await unlock(client)


async def cancel(client: NetconfClient, persist_id: str) -> None:
    """Revert the commit."""
    await client.cancel_commit(persist_id, _NEVER)

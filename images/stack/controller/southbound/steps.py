"""One device's part of a network-wide commit: NETCONF operations, and what their answers mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from weakref import WeakSet

from yangkit.client import NetconfClient
from yangkit.errors import RpcError

from controller.southbound.transaction import Answer

Report = tuple[Answer, str]
DONE: Report = (Answer.DONE, "")
#: Sessions with an operation under way, whose own deadline says whether the device lives: it answers in their order.
engaged: WeakSet[NetconfClient] = WeakSet()
#: A device that does not answer an operation within this many seconds counts as gone.
DEADLINE = 20.0
#: So much of an edit the slowest device carries out in a second: a POP that gets sixty sites at once takes its time.
OCTETS_A_SECOND = 8_000


def patience(config: str) -> float:
    """Seconds within which a device that lives has carried out an edit."""
    return DEADLINE + len(config) / OCTETS_A_SECOND


async def ask(
    client: NetconfClient | None, operation: Callable[[NetconfClient], Awaitable[None]], *, last_word: bool = False
) -> Report:
    """Do an operation on a device and say how it went; only defects of ours raise.

    To a ``last_word`` (confirm, cancel) only one refusal is an answer: that no commit has this persist-id
    (invalid-value; RFC 6241, section 8.4). After any other the device may still wait for it.
    """
    if client is None:
        return Answer.GONE, "it is not connected"
    engaged.add(client)
    try:
        await operation(client)
    except RpcError as error:
        heard = not last_word or error.tag == "invalid-value"
        return (Answer.REFUSED if heard else Answer.GONE), str(error)
    except TimeoutError:
        # A session that hangs keeps its locks: it must go, so that the next one finds them free.
        client.abort()
        return Answer.GONE, "it did not answer in time"
    except OSError as error:
        return Answer.GONE, str(error)
    finally:
        engaged.discard(client)
    return DONE


async def lock(client: NetconfClient) -> None:
    """Keep others from the candidate (RFC 6241, section 7.5)."""
    await client.lock("candidate", DEADLINE)


async def unlock(client: NetconfClient) -> None:
    """Let others to the candidate again; what is in it and not committed is discarded."""
    await client.unlock("candidate", DEADLINE)


async def edit(client: NetconfClient, config: str) -> None:
    """Put the edits into the candidate, and check the result as the device sees it."""
    deadline = patience(config)
    await client.edit_config(config, "candidate", error_option="rollback-on-error", deadline=deadline)
    await client.validate("candidate", deadline)


async def commit_confirmed(client: NetconfClient, persist_id: str, seconds: int, deadline: float) -> None:
    """Commit; the device reverts by itself after so many seconds without a word (RFC 6241, section 8.4)."""
    await client.commit(confirmed=True, confirm_timeout=seconds, persist=persist_id, deadline=deadline)


async def confirm(client: NetconfClient, persist_id: str, deadline: float) -> None:
    """Make the commit stay."""
    await client.commit(persist_id=persist_id, deadline=deadline)


async def cancel(client: NetconfClient, persist_id: str, deadline: float = DEADLINE) -> None:
    """Revert the commit."""
    await client.cancel_commit(persist_id, deadline)

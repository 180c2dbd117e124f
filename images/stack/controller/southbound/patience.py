"""How long a device may take to answer: one that is slow is not gone.

An overloaded device whose session is dropped for it reverts what it had done, calls again and begins from the start,
which is more work than before: overload would become collapse. So silence alone says nothing while the device's machine
acknowledges what it is sent (TCP): its program is at work, and is waited for. Only when the machine is not heard of
either, or for so long that its program must hang, the device counts as gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from yangkit.client import NetconfClient

T = TypeVar("T")

#: A device that does not answer an operation within this many seconds, and does not even acknowledge it, is gone.
DEADLINE = 20.0
#: So much of an edit the slowest device carries out in a second: a POP that gets sixty sites at once takes its time.
OCTETS_A_SECOND = 8_000
#: On a machine that is overloaded work takes so many times as long, at most; whoever does not answer then hangs.
OVERLOADED = 10
#: So many seconds it may take for anything, for it may have other work before it.
BUSY = 120.0
#: A machine that has acknowledged nothing for so many seconds, though it is asked every other second, is not there.
DEAF = 5.0
_LOOK = 0.5


def of_edit(config: str) -> float:
    """Seconds within which a device that is not overloaded has carried out an edit."""
    return DEADLINE + len(config) / OCTETS_A_SECOND


async def answer(client: NetconfClient, question: Awaitable[T], seconds: float) -> T:
    """What a device answers; TimeoutError when it takes longer than this and is not at work, or is for too long.

    The question has no deadline of its own (or one beyond ours).
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + max(BUSY, OVERLOADED * seconds)
    asked = asyncio.ensure_future(question)
    try:
        pause = seconds
        while True:
            done, _ = await asyncio.wait([asked], timeout=pause)
            if done:
                return asked.result()
            if loop.time() >= end or not client.is_heard_of(DEAF):
                raise TimeoutError
            pause = _LOOK
    finally:
        asked.cancel()

"""Server-sent events (WHATWG HTML, section 9.2): documents as events, a comment while there is nothing to tell."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

Json = Any

HEARTBEAT = ": still here\n\n"
HEARTBEAT_SECONDS = 15.0
# Nobody is told for longer than an access token lives; a client comes again, with a new one.
LONGEST = 600.0


def event(name: str, document: Json) -> str:
    return f"event: {name}\ndata: {json.dumps(document)}\n\n"


async def wait(changed: asyncio.Event) -> bool:
    """Until there may be something to tell; False: a heartbeat is due."""
    try:
        await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
    except TimeoutError:
        return False
    return True


def response(events: AsyncIterator[str]) -> StreamingResponse:
    headers = {"cache-control": "no-store"}
    return StreamingResponse(_bounded(events), media_type="text/event-stream", headers=headers)


async def _bounded(events: AsyncIterator[str]) -> AsyncIterator[str]:
    end = time.monotonic() + LONGEST
    async with contextlib.aclosing(events) as told:  # type: ignore[type-var]
        async for one in told:
            yield one
            if time.monotonic() >= end:
                return

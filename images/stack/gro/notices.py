"""Who watches what inside of this process: rows have changed, look again. A notice carries nothing, so none is lost."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

SITES = "sites"
OUTBOX = "outbox"


class Notices:
    """Events by subject: `sites`, `outbox`, or the id of an order."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def watching(self, subject: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the subject may have changed; whoever waits clears it before looking."""
        event = asyncio.Event()
        self._watchers[subject].add(event)
        try:
            yield event
        finally:
            self._watchers[subject].discard(event)
            if not self._watchers[subject]:
                del self._watchers[subject]

    def tell(self, *subjects: str) -> None:
        for subject in subjects:
            for event in self._watchers.get(subject, ()):
                event.set()

    def tell_soon(self, *subjects: str) -> None:
        """From within a transaction: once it is over (a transaction is one piece of work of the loop)."""
        asyncio.get_running_loop().call_soon(self.tell, *subjects)

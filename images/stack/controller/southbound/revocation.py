"""The revocation list that is in force: fetched from the manager every other second, kept over restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from cryptography import x509
from stackkit.files import write_durably

from controller.southbound.identity import BadList, Identity, NotBelieved, RevocationList

log = logging.getLogger(__name__)
INTERVAL = 1.5
_MEDIA_TYPE = "application/pkix-crl"
Listener = Callable[[RevocationList], Awaitable[None]]


class Revocation:
    """Who may no longer come in. Without a list nobody may: the first one must be there before devices are."""

    def __init__(self, ca: x509.Certificate, store: Path) -> None:
        self._ca, self._store = ca, store
        self._etag: str | None = None
        self.current: RevocationList | None = None
        #: Why the last attempt to fetch failed; None when it did not.
        self.problem: str | None = "the manager has not been asked yet"
        self.listeners: list[Listener] = []
        if store.exists():
            try:
                self.current = RevocationList(store.read_bytes(), ca)
            except BadList as error:
                log.warning("the stored revocation list is left aside: %s", error)

    def check(self, identity: Identity) -> None:
        """NotBelieved unless the list in force lets this identity in."""
        if self.current is None:
            raise NotBelieved(f"there is no revocation list yet: {self.problem}")
        self.current.check(identity)

    async def follow(self, client: httpx.AsyncClient, url: str) -> None:
        """Fetch for ever."""
        while True:
            await self.fetch(client, url)
            await asyncio.sleep(INTERVAL)

    async def fetch(self, client: httpx.AsyncClient, url: str) -> None:
        """Fetch once, if it has changed (RFC 9110, section 13.1.2); what goes wrong is in ``problem``."""
        headers = {"accept": _MEDIA_TYPE} | ({"if-none-match": self._etag} if self._etag else {})
        try:
            answer = await client.get(url, headers=headers)
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                if answer.status_code != httpx.codes.OK:
                    raise BadList(f"{url} answers {answer.status_code}")
                await self._take(RevocationList(answer.content, self._ca))
                self._etag = answer.headers.get("etag")
        except (httpx.HTTPError, BadList, OSError) as error:
            text = f"the revocation list cannot be fetched: {error or type(error).__name__}"
            if text != self.problem:
                log.warning("%s", text)
            self.problem = text
            return
        self.problem = None

    async def _take(self, new: RevocationList) -> None:
        if self.current is not None:
            if new.der == self.current.der:
                return
            if not new.replaces(self.current):
                raise BadList("it is older than the one in force")
        await asyncio.to_thread(write_durably, self._store, new.der)
        self.current = new
        for listener in self.listeners:
            await listener(new)

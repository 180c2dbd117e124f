"""The manager is told of copied keys, again and again until it knows: the certificates are its to revoke (RFC 5280)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import httpx
from stackkit import tokens

from controller.southbound.quarantine import Clone, Quarantine

log = logging.getLogger(__name__)
INTERVAL = 0.5
_ACTION = "/restconf/data/elasticlab-devices:devices/device={}/quarantine"
_HEADERS = {"accept": "application/yang-data+json", "content-type": "application/yang-data+json"}


class Report:
    """Tells the manager. ``fetch`` gets its revocation list, and says whether that could be had."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        manager: str,
        quarantine: Quarantine,
        *,
        fetch: Callable[[], Awaitable[bool]],
        registered: Callable[[str, str], bool],
        over: Callable[[str], None],
    ) -> None:
        """Args:
        registered: is a device of this name and serial number in the registry?
        over: called with the name of a device that has left quarantine because it is registered no more.
        """
        self._client, self._manager, self._quarantine = client, manager, quarantine
        self._fetch, self._registered, self._over = fetch, registered, over
        self._problems: dict[str, str] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            for clone in self._quarantine.clones:
                try:
                    await self._care(clone)
                except Exception:
                    log.exception("the quarantine of %s could not be looked after", clone.device)
            await asyncio.sleep(INTERVAL)

    async def _care(self, clone: Clone) -> None:
        if not clone.told:
            await self._settle(clone)
        elif not self._registered(clone.device, clone.serial):
            await asyncio.to_thread(self._quarantine.remove, clone.device)
            self._over(clone.device)

    async def _settle(self, clone: Clone) -> None:
        try:
            await self._tell(clone)
        except (httpx.HTTPError, tokens.Unavailable, ValueError) as error:
            text = f"the manager cannot be told of {clone.device}: {error or type(error).__name__}; trying again"
            if text != self._problems.get(clone.device):
                log.warning("%s", text)
            self._problems[clone.device] = text
            return
        self._problems.pop(clone.device, None)
        # The list that says so must be in force before another certificate of this name counts.
        if await self._fetch():
            await asyncio.to_thread(self._quarantine.told, clone)
            log.info("the manager has been told that the key of %s is used twice", clone.device)

    async def _tell(self, clone: Clone) -> None:
        url = self._manager + _ACTION.format(quote(clone.serial, safe=""))
        certificates = [f"{number:x}" for number in sorted(clone.certificates)]
        body = {"elasticlab-devices:input": {"reason": clone.reason, "certificate": certificates}}
        answer = await self._client.post(url, json=body, headers=_HEADERS)
        # Whom the registry does not have any more has no certificate that holds.
        if answer.status_code not in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
            raise ValueError(f"{url} answers {answer.status_code}: {answer.text[:200]}")

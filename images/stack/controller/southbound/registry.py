"""The manager's registry, as far as the controller needs it: which devices there are, and under which names.

A copy on disk lets known devices in while the manager is away. Who is not in the copy is looked up at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from stackkit import tokens
from stackkit.files import write_durably

from controller.southbound.identity import Identity

log = logging.getLogger(__name__)
INTERVAL = 5.0
_DEVICES = "/restconf/data/elasticlab-devices:devices"
_MEDIA_TYPE = "application/yang-data+json"


@dataclass(frozen=True, slots=True)
class Registered:
    """A device that the operator has registered."""

    serial: str
    name: str
    model: str = ""
    legal: bool = True


# No answer, no right to ask, an answer that makes no sense, a disk that is full.
_FAILURES = (httpx.HTTPError, tokens.Unavailable, ValueError, LookupError, TypeError, AttributeError, OSError)
Listener = Callable[[Mapping[str, Registered]], None]


class Registry:
    """The registered devices by serial number; ``listeners`` are told when they have become others."""

    def __init__(self, client: httpx.AsyncClient, manager: str, store: Path) -> None:
        self._client, self._url, self._store = client, manager + _DEVICES, store
        self._etag: str | None = None
        self._turn = asyncio.Lock()
        self._fetches = 0
        self.problem: str | None = None
        self.listeners: list[Listener] = []
        self.devices: Mapping[str, Registered] = {}
        #: Whether there is anything to judge by: the manager has answered, now or before a restart.
        self.known = store.exists()
        if self.known:
            rows = json.loads(store.read_text())
            self.devices = {row["serial"]: Registered(**row) for row in rows}

    async def refusal(self, identity: Identity) -> str | None:
        """Why a caller is no device of ours; None when it is one. Asks the manager before it says no."""
        if self._objection(identity) is not None:
            await self.fetch()
        return self._objection(identity)

    def _objection(self, identity: Identity) -> str | None:
        if not self.known:
            return f"the registry is not known yet: {self.problem or 'the manager has not been asked'}"
        device = self.devices.get(identity.serial)
        if device is None:
            return f"serial number {identity.serial} is not registered"
        if device.name != identity.name:
            return f"serial number {identity.serial} is registered as {device.name}, not as {identity.name}"
        return None if device.legal else f"device {identity.name} is revoked"

    def has(self, name: str, serial: str) -> bool:
        """Is this a device of ours, as far as is known?"""
        device = self.devices.get(serial)
        return not self.known or (device is not None and device.name == name)

    async def follow(self) -> None:
        """Fetch for ever."""
        while True:
            await self.fetch()
            await asyncio.sleep(INTERVAL)

    async def fetch(self) -> None:
        """Fetch once; whoever asks while that is under way shares the next answer. Failures are in ``problem``."""
        seen = self._fetches
        async with self._turn:
            if self._fetches > seen + 1:
                return
            self._fetches += 1
            try:
                await self._fetch()
                self.problem = None
            except _FAILURES as error:
                text = f"the registry cannot be fetched: {error or type(error).__name__}"
                if text != self.problem:
                    log.warning("%s", text)
                self.problem = text

    async def _fetch(self) -> None:
        headers = {"accept": _MEDIA_TYPE} | ({"if-none-match": self._etag} if self._etag else {})
        answer = await self._client.get(self._url, params={"content": "config"}, headers=headers)
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return
        if answer.status_code == httpx.codes.NOT_FOUND:  # RFC 8040 section 3.5: nothing is configured there
            await self._take({})
            return
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{self._url} answers {answer.status_code}")
        await self._take(_devices(answer.json()))
        self._etag = answer.headers.get("etag")

    async def _take(self, devices: Mapping[str, Registered]) -> None:
        changed = devices != self.devices
        if changed or not self.known:
            rows = json.dumps([asdict(one) for one in devices.values()])
            await asyncio.to_thread(write_durably, self._store, rows.encode())
        self.devices, self.known = devices, True
        if changed:
            for listener in self.listeners:
                listener(devices)


def _devices(content: Any) -> dict[str, Registered]:
    entries = content["elasticlab-devices:devices"].get("device", [])
    return {
        entry["serial"]: Registered(
            entry["serial"],
            entry["name"],
            entry.get("model", ""),
            entry.get("administrative-state", "legal") == "legal",
        )
        for entry in entries
    }

"""The portal's way to GRO, manager and identity: always with the token of the person who is logged in.

The portal has no rights of its own; what a person may see or do is decided where it is asked.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .failures import Failure, refused
from .sessions import Session

Json = Any

ORDERING = "/tmf-api/serviceOrdering/v4"
CATALOGUE = "/tmf-api/serviceCatalogManagement/v4"
INVENTORY = "/tmf-api/serviceInventory/v4"
STREAM = httpx.Timeout(15, read=45)  # three heartbeats
PAGE = 50


@dataclass(frozen=True)
class Event:
    """A server-sent event of GRO; of kind `comment`: it has nothing to tell, and is there."""

    kind: str
    data: Json


@dataclass(frozen=True)
class Part:
    """A page of a collection, the newest first; `newer` and `older` are numbers of pages, if there are any."""

    entries: list[Json]
    newer: int | None
    older: int | None


class Service:
    """One component's HTTP interface."""

    def __init__(self, client: httpx.AsyncClient, url: str, name: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._name = name

    async def ask(
        self, session: Session, method: str, path: str, body: Json = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer, if it is a good one.

        Raises:
            Refused: the component says no; its problem tells why.
            Failure: it does not answer, or does not take the token.
        """
        headers = {**_authority(session), "accept": "application/json, application/yang-data+json"}
        try:
            response = await self._client.request(method, self._url + path, json=body, params=query, headers=headers)
        except httpx.HTTPError as error:
            raise self._silent(error) from None
        return self._judged(response)

    async def get(self, session: Session, path: str, query: Mapping[str, str] | None = None) -> Json:
        return (await self.ask(session, "GET", path, query=query)).json()

    async def newest(self, session: Session, path: str, number: int) -> Part:
        """Page `number` (from 0) of a collection that the component keeps oldest first (TMF630 part 1, 4.4)."""
        count = await self.ask(session, "GET", path, query={"limit": "1", "fields": "id"})
        total = int(count.headers["x-total-count"])
        end = max(0, total - number * PAGE)
        begin = max(0, end - PAGE)
        entries = await self.get(session, path, {"offset": str(begin), "limit": str(end - begin)})
        return Part(entries[::-1], number - 1 if number else None, number + 1 if begin else None)

    async def events(self, session: Session, path: str) -> AsyncIterator[Event]:
        """A stream of server-sent events (WHATWG HTML section 9.2), until the component ends it."""
        headers = {**_authority(session), "accept": "text/event-stream"}
        try:
            async with self._client.stream("GET", self._url + path, headers=headers, timeout=STREAM) as response:
                if response.is_error:
                    await response.aread()
                self._judged(response)
                kind, data = "message", ""
                async for line in response.aiter_lines():
                    field, _, value = line.partition(":")
                    value = value.removeprefix(" ")
                    if field == "event":
                        kind = value
                    elif line.startswith(":"):
                        yield Event("comment", None)
                    elif field == "data":
                        data += value
                    elif not line and data:
                        yield Event(kind, json.loads(data))
                        kind, data = "message", ""
        except httpx.HTTPError as error:
            raise self._silent(error) from None

    def _judged(self, response: httpx.Response) -> httpx.Response:
        if response.status_code == 401:
            # Tokens are renewed before they end: one that is not taken would not be after another log-in either.
            text = "Your log-in is not accepted by the component that this page asks."
            raise Failure(
                503, "Not possible at this moment", text, "Log out and in again; if it lasts, tell the operator."
            )
        if response.is_error:
            try:
                content = response.json()
            except ValueError:
                content = None
            if response.status_code >= 500 and not (isinstance(content, dict) and "detail" in content):
                raise self._silent(f"status {response.status_code}")
            raise refused(response.status_code, content)
        return response

    def _silent(self, error: object) -> Failure:
        text = f"{self._name} does not answer, or cannot at this moment."
        return Failure(503, "Not possible at this moment", text, "Try again in a moment.", cause=error)


def _authority(session: Session) -> dict[str, str]:
    return {"authorization": f"Bearer {session.tokens.access}"}

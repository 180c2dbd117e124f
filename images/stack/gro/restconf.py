"""GRO's way to the controller and the manager: RESTCONF (RFC 8040) and YANG Patch (RFC 8072), as anybody would."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from stackkit.durable import Later
from stackkit.tokens import Unavailable

Json = Any

DATA = "application/yang-data+json"
PATCH = "application/yang-patch+json"
EVENTS = "text/event-stream"
# The server says something every 15 s (yangkit's streams), if only that it is there.
SILENCE = 40.0


class RefusedError(Exception):
    """The far end understood and said no; the text is its own."""


class Restconf:
    """One RESTCONF server. Unreachable or busy raises Later (try again), a refusal RefusedError."""

    def __init__(self, client: httpx.AsyncClient, url: str, name: str) -> None:
        self._client = client
        self._url = url.rstrip("/") + "/restconf"
        self._name = name

    async def get(self, path: str) -> Json | None:
        """A resource; None if it is not there."""
        response = await self._send("GET", path, None, None)
        return None if response.status_code == 404 else response.json()

    async def yang_patch(self, content: Json) -> None:
        await self._send("PATCH", "/data", content, PATCH)

    async def call(self, operation: str, content: Json) -> Json:
        response = await self._send("POST", f"/operations/{operation}", content, DATA)
        return response.json() if response.content else {}

    @contextlib.asynccontextmanager
    async def events(self, stream: str) -> AsyncIterator[AsyncIterator[dict[str, Json]]]:
        """Notifications of an event stream (RFC 8040 section 6.3), from the moment that this is entered."""
        timeout = httpx.Timeout(10.0, read=SILENCE)
        url = f"{self._url}/streams/{stream}"
        try:
            async with self._client.stream("GET", url, headers={"accept": EVENTS}, timeout=timeout) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise Later(f"the {self._name} gives no events: {explain(response)}")
                yield _notifications(response.aiter_lines())
        except (httpx.HTTPError, Unavailable) as error:
            raise Later(f"the {self._name} does not answer: {error or type(error).__name__}") from error

    async def _send(self, method: str, path: str, content: Json, media: str | None) -> httpx.Response:
        headers = {"accept": DATA} | ({"content-type": media} if media else {})
        try:
            response = await self._client.request(method, self._url + path, json=content, headers=headers)
        except (httpx.HTTPError, Unavailable) as error:
            raise Later(f"the {self._name} does not answer: {error or type(error).__name__}") from error
        # A 409 is also in-use or lock-denied (RFC 8040 section 7): someone else is at it.
        locked = response.status_code == 409 and ("lock-denied" in response.text or "in-use" in response.text)
        # 501 is operation-not-supported: a refusal, whoever asks again.
        late = response.status_code in (401, 408, 423, 425, 429) or response.status_code >= 500
        if locked or (late and response.status_code != 501):
            raise Later(f"the {self._name} is not ready: {explain(response)}")
        if response.is_error and not (response.status_code == 404 and method == "GET"):
            raise RefusedError(f"the {self._name} refused: {explain(response)}")
        return response


async def _notifications(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Json]]:
    """Server-sent events whose data are notifications in JSON; comments and other fields are passed over."""
    data: list[str] = []
    async for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            content = json.loads("\n".join(data))
            data = []
            yield content["ietf-restconf:notification"]


def explain(response: httpx.Response) -> str:
    """The first error of a RESTCONF answer (RFC 8040 section 7.1) or of a YANG Patch status (RFC 8072 section 2.3)."""
    try:
        content = response.json()
    except ValueError:
        return f"status {response.status_code}"
    error = _first_error(content)
    if error is None:
        return f"status {response.status_code}"
    text = error.get("error-message") or error.get("error-tag")
    path = f" (at {error['error-path']})" if "error-path" in error else ""
    return f"{text}{path}"


def _first_error(content: Json) -> dict[str, Json] | None:
    if isinstance(content, dict):
        if isinstance(content.get("error"), list) and content["error"]:
            first = content["error"][0]
            return first if isinstance(first, dict) else None
        content = list(content.values())
    if isinstance(content, list):
        return next((found for one in content if (found := _first_error(one))), None)
    return None


Site = dict[str, Json]
# More sites than this are read at once rather than one by one.
MANY = 16


@dataclass(frozen=True)
class Controller:
    """The network's owner: takes intent, tells its state."""

    restconf: Restconf

    async def apply(self, patch: Json) -> None:
        await self.restconf.yang_patch(patch)

    async def sites(self, wanted: Collection[str] | None = None) -> dict[str, Site]:
        """Live state by site id: of these sites (those that are there), or of all."""
        if wanted is None or len(wanted) > MANY:
            content = await self.restconf.get("/data/elasticlab-network:network?fields=site")
            entries = _list((content or {}).get("elasticlab-network:network"), "site")
        else:
            paths = [f"/data/elasticlab-network:network/site={quote(one, safe='')}" for one in wanted]
            answers = await asyncio.gather(*map(self.restconf.get, paths))
            entries = [one for answer in answers for one in _list(answer, "elasticlab-network:site")]
        return {one["site-id"]: one for one in entries if wanted is None or one["site-id"] in wanted}

    async def clouds(self, wanted: Collection[str]) -> dict[str, Site]:
        """Live state, like that of a site, of the clouds of these VPNs that are there."""
        if not wanted:
            return {}
        content = await self.restconf.get("/data/elasticlab-network:network?fields=cloud")
        entries = _list((content or {}).get("elasticlab-network:network"), "cloud")
        return {one["vpn-id"]: one for one in entries if one["vpn-id"] in wanted}

    async def connected(self, device: str) -> bool:
        """Whether the device of this name has a session with the controller."""
        return (await self._device(device)).get("connected") is True

    async def refuses(self, device: str) -> bool:
        """Whether the device of this name has refused its configuration."""
        return (await self._device(device)).get("sync") == "failed"

    async def _device(self, name: str) -> dict[str, Json]:
        content = await self.restconf.get(f"/data/elasticlab-network:network/device={quote(name, safe='')}")
        found = _list(content, "elasticlab-network:device")
        return found[0] if found else {}

    async def plan(self, asked: Json) -> dict[str, Json]:
        """Edits of devices, and notes about what will be otherwise than one might think."""
        content = await self.restconf.call("elasticlab-network:plan", {"elasticlab-network:input": asked})
        answer: dict[str, Json] = content.get("elasticlab-network:output", {})
        return answer


@dataclass(frozen=True)
class Manager:
    """The registry of devices."""

    restconf: Restconf

    async def device(self, serial: str) -> dict[str, Json] | None:
        content = await self.restconf.get(f"/data/elasticlab-devices:devices/device={quote(serial, safe='')}")
        found = _list(content, "elasticlab-devices:device")
        return found[0] if found else None

    async def device_of(self, tenant: str, serial: str) -> dict[str, Json] | None:
        """The device if this tenant may use it: another's is as unknown as one that nobody registered."""
        device = await self.device(serial)
        return device if device is not None and device.get("owner") in (tenant, "operator") else None


def _list(content: Json, name: str) -> list[dict[str, Json]]:
    entries = (content or {}).get(name, [])
    return entries if isinstance(entries, list) else [entries]

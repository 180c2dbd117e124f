"""A client of a RESTCONF server with a little data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from yangkit import RestconfApp
from yangkit.restconf import Forbidden, Unauthorized

KT = "urn:example:kit-test"
JSON, XML = "application/yang-data+json", "application/yang-data+xml"
DATA = {
    "kit-test:top": {"name": "a", "item": [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}]},
    "kit-test:machine": [{"name": "m/1,ü"}],
}


async def who(scope) -> str:
    user = dict(scope["headers"]).get(b"x-user", b"admin").decode()
    if user == "nobody":
        raise Unauthorized('Bearer realm="test"')
    if user == "stranger":
        raise Forbidden
    return user


class Rest:
    """A client in JSON unless told otherwise."""

    def __init__(self, app: RestconfApp) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://box")

    async def __call__(self, method: str, path: str, body=None, **headers: str) -> httpx.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            xml = isinstance(body, str)
            headers.setdefault("content-type", XML if xml else JSON)
            body = body if isinstance(body, bytes) else body.encode() if xml else json.dumps(body).encode()
        url = path if path.startswith("/.") else f"/restconf{path}"
        return await self.http.request(method, url, content=body, headers=headers)


@asynccontextmanager
async def opened(lab: Any) -> AsyncIterator[Rest]:
    """A client of the lab's server, which has `DATA`."""
    await lab.stores.replace_running(DATA)
    app = RestconfApp(lab.server, authenticate=who)
    yield Rest(app)
    await app.close()


def error(response: httpx.Response) -> dict:
    assert response.headers["content-type"] == JSON, response.text
    return response.json()["ietf-restconf:errors"]["error"][0]


def refused(response: httpx.Response, status: int, tag: str) -> dict:
    assert response.status_code == status, response.text
    found = error(response)
    assert found["error-tag"] == tag, found
    return found

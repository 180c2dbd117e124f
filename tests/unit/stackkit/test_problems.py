"""Every way a request can fail is a problem (RFC 9457) that names the place."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from stackkit import logs, problems
from stackkit.problems import Problem


class Line(BaseModel):
    name: str
    amount: int


class Order(BaseModel):
    lines: list[Line]


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    problems.install(app)

    @app.post("/orders")
    async def orders(order: Order, limit: int = 3) -> int:
        return len(order.lines) + limit

    @app.get("/taken")
    async def taken() -> None:
        raise Problem(409, "Name taken", "Choose another name.", "/name~1x", holder="acme", headers={"x-a": "1"})

    @app.get("/plain")
    async def plain() -> None:
        raise HTTPException(418)

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("secret internals")

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def body(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = response.json()
    assert content["status"] == status
    return content


async def test_raised(client: httpx.AsyncClient) -> None:
    response = await client.get("/taken")
    assert response.headers["x-a"] == "1"
    assert body(response, 409) == {
        "type": "urn:elasticlab:problem:name-taken",
        "title": "Name taken",
        "status": 409,
        "detail": "Choose another name.",
        "errors": [{"detail": "Choose another name.", "pointer": "/name~1x"}],
        "holder": "acme",
    }


async def test_validation_names_the_members(client: httpx.AsyncClient) -> None:
    content = body(await client.post("/orders", json={"lines": [{"name": "a", "amount": "x"}, {"amount": 1}]}), 400)
    assert [error["pointer"] for error in content["errors"]] == ["/lines/0/amount", "/lines/1/name"]
    assert content["detail"].startswith("/lines/0/amount: ")


async def test_validation_names_a_parameter(client: httpx.AsyncClient) -> None:
    content = body(await client.post("/orders?limit=many", json={"lines": []}), 400)
    assert (content["errors"][0]["parameter"], content["errors"][0]["in"]) == ("limit", "query")


@pytest.mark.parametrize("text", ["{", "", "[1", "nul"])
async def test_not_json(client: httpx.AsyncClient, text: str) -> None:
    content = body(await client.post("/orders", content=text, headers={"content-type": "application/json"}), 400)
    assert content["errors"][0]["pointer"] == ""


async def test_unknown_path_and_method(client: httpx.AsyncClient) -> None:
    assert body(await client.get("/nowhere"), 404)["detail"] == "Nothing is at /nowhere."
    response = await client.delete("/orders")
    assert body(response, 405)["type"] == "about:blank"
    assert response.headers["allow"] == "POST"
    assert body(await client.get("/plain"), 418)["title"] == "I'm a Teapot"


async def test_bug_tells_nothing_and_is_logged(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    mark = logs.order.set("o-9")
    with caplog.at_level(logging.ERROR):
        content = body(await client.get("/bug"), 500)
    logs.order.reset(mark)
    assert "internals" not in str(content)
    assert content["order"] == "o-9"
    assert "ZeroDivisionError" in caplog.text


def test_pointer_escapes() -> None:
    assert problems.pointer(["a/b", 0, "c~d"]) == "/a~1b/0/c~0d"

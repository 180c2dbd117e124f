"""Log lines: JSON, the order in each, no secret in any."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from stackkit import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    text = io.StringIO()
    logs.setup("gro", "info", text)
    yield text
    logging.captureWarnings(False)
    root.handlers[:], level = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line(stream: io.StringIO) -> None:
    logging.getLogger("gro.steps").info("step %s\nforged", "one", extra={"site": "a", "count": 3})
    (line,) = lines(stream)
    time = line.pop("time")
    assert time.endswith("Z")
    assert line == {
        "level": "info",
        "component": "gro",
        "order": None,
        "logger": "gro.steps",
        "message": "step one\nforged",
        "site": "a",
        "count": 3,
    }


async def test_order_follows_the_task(stream: io.StringIO) -> None:
    async def work(order: str) -> None:
        logs.order.set(order)
        await asyncio.sleep(0)
        logging.getLogger("x").info("done")

    await asyncio.gather(work("o-1"), work("o-2"))
    assert [line["order"] for line in lines(stream)] == ["o-1", "o-2"]


def test_exception_in_one_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(stream)
    assert "ValueError" in line["exception"]
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2",
        "authorization: basic aHVudGVyMg==hunter2",
        '{"password": "hunter2", "a": 1}',
        "{'client_secret': 'hunter2 more'}",
        "access_token=hunter2&x=1",
        "token eyJhbGciOiJF.eyJzdWIi.hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----\nhunter2",
        "key=hunter2",
        "api-key: hunter2",
        "PaSSword=hunter2",
        "pa\u017f\u017fword=hunter2",
        "private_\u212aey=hunter2",
        "Ba\u017f\u0131c hunter2hunter2",
        "coo\u212a\u0131e: hunter2",
    ],
)
def test_secrets_are_redacted(text: str) -> None:
    assert "hunter2" not in logs.redact(f"before {text}")
    assert logs.redact(text) != text


@pytest.mark.parametrize(
    "text", ["device key-1 is up", "monkey=3", "three tokens were seen", "no password given", "secretary: ann"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redact(text) == text


def test_fields_named_like_secrets(stream: io.StringIO) -> None:
    extra = {
        "Authorization": "hunter2",
        "data": {"password": "hunter2", "list": [{"key": "hunter2"}]},
        "key": b"hunter2",
    }
    logging.getLogger("x").info("request", extra=extra)
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0]["data"]["list"] == [{"key": "[redacted]"}]


def test_unknown_level() -> None:
    with pytest.raises(ValueError, match="loud"):
        logs.setup("gro", "loud")

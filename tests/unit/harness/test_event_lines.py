"""Server-sent events, line by line."""

from __future__ import annotations

import pytest

from harness.orchestrator.events import EventLines


def events(text: str) -> list[object]:
    reader = EventLines()
    return [event for line in text.split("\n") if (event := reader.heard(line)) is not None]


def test_an_event_ends_with_an_empty_line() -> None:
    text = 'event: state\ndata: {"state":\ndata: "done"}\n\n: a comment\n\ndata: 1\n\nevent: lost\n'
    assert events(text) == [("state", {"state": "done"}), ("message", 1)]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        events("data: nothing\n\n")

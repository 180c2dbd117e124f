"""Server-sent events with JSON data (HTML Living Standard, section 9.2.6), line by line, however the lines come."""

from __future__ import annotations

import json
from typing import Any


class EventLines:
    """What was heard of an event that is not whole yet."""

    def __init__(self) -> None:
        self._kind, self._data = "message", ""

    def heard(self, line: str) -> tuple[str, Any] | None:
        """The event that this line ends, if it does: its kind and its data.

        Raises:
            ValueError: the data is no JSON.
        """
        name, _, value = line.partition(":")
        if name == "event":
            self._kind = value.strip()
        elif name == "data":
            self._data += value.removeprefix(" ")
        elif not line and self._data:
            kind, data = self._kind, self._data
            self._kind, self._data = "message", ""
            return kind, json.loads(data)
        return None

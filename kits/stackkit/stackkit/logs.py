"""Structured logs: one JSON object a line on stderr, each with the order it belongs to.

An order passes through every component. Its id travels in the W3C `baggage` header (`order=ID`), lands in the context
variable `order` and stands in every line written on its behalf, so that one grep over all logs tells an order's story.

Secrets never reach a log: values of fields and `name=value` pairs named like a secret, bearer tokens, JWTs and private
keys are replaced.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

order: ContextVar[str | None] = ContextVar("order", default=None)
"""Id of the order on whose behalf the current task works, or None."""

REDACTED: Final = "[redacted]"

_SECRET_NAME = re.compile(
    r"(authorization|password|passwd|passphrase|secret|private[-_]?key|api[-_]?key|(access|refresh|id)[-_]?token|^token$|^key$|cookie)",
    re.I,
)
_PAIR = re.compile(
    r"""(?P<name>["']?[\w.-]*(?:authorization|password|passwd|passphrase|secret|private[-_]?key|api[-_]?key|token|cookie|\bkey)["']?\s*[=:]\s*)"""
    r"""(?P<value>(?:bearer|basic)\s+[^\s,;&"'}]+|"[^"]*"|'[^']*'|[^\s,;&"'}]+)""",
    re.I,
)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.I)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
#: Without one of these in a text none of the expressions finds anything in it, and they take long to say so.
_SIGNS = ("auth", "pass", "secret", "key", "token", "cook", "bearer", "bas", "eyj", "-----begin")
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(-----END \1PRIVATE KEY-----|\Z)", re.S)

# What logging itself puts on a record; everything else was given with `extra=` and is a field of ours.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def redact(text: str) -> str:
    """Replace what looks like a secret inside running text."""
    folded = text.casefold()
    if not any(sign in folded for sign in _SIGNS):
        return text
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _JWT.sub(REDACTED, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {REDACTED}", text)
    return _PAIR.sub(lambda match: f"{match['name']}{REDACTED}", text)


def _clean(name: str, value: object) -> object:
    """A value of a field as JSON can carry it, without secrets at any depth."""
    if _SECRET_NAME.search(name) and value is not None and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, dict):
        return {str(key): _clean(str(key), entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", entry) for entry in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; line ends inside values are escaped, so nobody can forge a second line."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self.component = component

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "component": self.component,
            "order": order.get(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _OWN_FIELDS and name not in line:
                line[name] = _clean(name, value)
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact(record.stack_info)
        return json.dumps(line, ensure_ascii=False, allow_nan=True, default=str)


def setup(component: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log of this process as JSON lines to stderr (or `stream`). A second call replaces the first.

    Raises:
        ValueError: the level is none of debug, info, warning, error, critical.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r}: use debug, info, warning, error or critical")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # These tell each request at info; our own access log says it once and with the order.
    for noisy in ("httpx", "httpcore", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)

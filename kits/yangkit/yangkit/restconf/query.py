"""Query parameters (RFC 8040, section 4.8)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from yangkit.defaults import MODES
from yangkit.restconf.messages import Request, bad_request
from yangkit.restconf.resources import child_of, decoded
from yangkit.schema import SchemaNode

MAX_FIELDS = 4096
_MAX_NESTING = 64
_TOKEN = re.compile(r"[/;()]|[^/;()]+")

# Chosen nodes below a node; an empty choice is the whole node.
Fields = dict[SchemaNode, "Fields"]


@dataclass(frozen=True)
class View:
    """What a GET asks for."""

    content: str = "all"
    depth: int | None = None
    fields: str | None = None
    with_defaults: str = "explicit"


def parameters(request: Request, allowed: Collection[str]) -> dict[str, str]:
    """The parameters of a request, each known and given once; 400 otherwise."""
    found: dict[str, str] = {}
    for item in request.query.split("&") if request.query else []:
        name_text, _, value = item.partition("=")
        name = decoded(name_text)
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise bad_request(f"{name!r} is no query parameter of {request.method} here; possible: {known}")
        if name in found:
            raise bad_request(f"the query parameter {name} is given twice")
        found[name] = decoded(value)
    return found


def view(request: Request) -> View:
    """The parameters of GET and HEAD on a datastore or data resource."""
    given = parameters(request, ("content", "depth", "fields", "with-defaults"))
    content = given.get("content", "all")
    if content not in ("all", "config", "nonconfig"):
        raise bad_request(f"content is all, config or nonconfig, not {content!r}")
    mode = given.get("with-defaults", "explicit")
    if mode not in MODES:
        raise bad_request(f"with-defaults is one of {', '.join(MODES)}, not {mode!r}")
    return View(content, _depth(given.get("depth", "unbounded")), given.get("fields"), mode)


def _depth(text: str) -> int | None:
    if text == "unbounded":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise bad_request(f"depth is unbounded or a number from 1 to 65535, not {text!r}")
    return int(text)


def fields(schema: SchemaNode, text: str) -> Fields:
    """The nodes that an expression of section 4.8.3 names below a node."""
    if len(text) > MAX_FIELDS:
        raise bad_request(f"fields is longer than {MAX_FIELDS} characters")
    reader = _Reader(_TOKEN.findall(text))
    chosen = reader.expression(schema, 0)
    if reader.next is not None:
        raise bad_request(f"fields has {reader.next!r} too much")
    return chosen


class _Reader:
    """Recursive descent: expression = item *(";" item); item = name *("/" name) ["(" expression ")"]."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, wanted: str) -> bool:
        if self.next == wanted:
            self._position += 1
            return True
        return False

    def expression(self, schema: SchemaNode, nesting: int) -> Fields:
        if nesting > _MAX_NESTING:
            raise bad_request("fields is nested too deeply")
        chosen: Fields = {}
        while True:
            self._item(schema, chosen, nesting)
            if not self._take(";"):
                return chosen

    def _item(self, schema: SchemaNode, chosen: Fields, nesting: int) -> None:
        node = self._name(schema)
        path = [node]
        while self._take("/"):
            node = self._name(node)
            path.append(node)
        below: Fields = {}
        if self._take("("):
            below = self.expression(node, nesting + 1)
            if not self._take(")"):
                raise bad_request("fields lacks a closing parenthesis")
        for step in reversed(path[1:]):
            below = {step: below}
        _add(chosen, path[0], below)

    def _name(self, schema: SchemaNode) -> SchemaNode:
        name = self.next
        node = child_of(schema, name) if name is not None and name not in "/;()" else None
        if node is None or node.kind == "action":
            what = repr(name) if name is not None else "an empty name"
            raise bad_request(f"fields: {what} is no node below {schema.path()}")
        self._position += 1
        return node


def _add(chosen: Fields, node: SchemaNode, below: Fields) -> None:
    """Both selections together; whole beats part."""
    known = chosen.get(node)
    if known is None or not below:
        chosen[node] = below
    elif known:
        for child, more in below.items():
            _add(known, child, more)

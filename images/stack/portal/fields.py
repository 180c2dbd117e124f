"""Forms made from JSON schemas: what an offer asks for is asked, and nothing else; a new offer needs no new page.

A *draft* is what somebody typed, as a tree of texts; a *value* is the JSON that it stands for. A field is named by the
steps to it (`sites.0.gateway`), so that an error's JSON pointer finds its field.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Any
Draft = Any

MAX_ENTRIES = 100
"""Of a list in a form; a longer order is a program's business."""
PRESENT = ""
"""In the draft of an object: whether it is wanted though nothing of it is said."""
YES = "yes"


@dataclass
class Field:
    """One field, or a group or list of them, as the template shows it."""

    name: str
    label: str
    kind: str
    hint: str = ""
    required: bool = False
    value: str = ""
    choices: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Field] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    optional: bool = False
    """A group that may be left out; one that may be empty is asked for by itself."""
    may_be_empty: bool = False
    used: bool = False
    sealed: str = ""
    """Of a secret that was given: it, for nobody but the session that gave it."""
    may_grow: bool = False
    may_go: bool = False

    @property
    def id(self) -> str:
        return "field-" + self.name.replace(".", "-")

    @property
    def is_open(self) -> bool:
        """Is there something in it that its reader must see?"""
        return self.used or bool(self.errors) or any(one.is_open for one in self.children)


def draft_of(schema: Json, pairs: Mapping[str, str], name: str) -> Draft:
    """What a form's fields say about one characteristic; entries of lists are numbered anew without gaps."""
    kind = schema.get("type")
    if kind == "object":
        parts = {key: draft_of(part, pairs, f"{name}.{key}") for key, part in schema.get("properties", {}).items()}
        return {PRESENT: pairs.get(name, ""), **parts}
    if kind == "array":
        numbers = {_index(key, name) for key in pairs} - {None}
        kept = sorted(number for number in numbers if number is not None)[:MAX_ENTRIES]
        return [draft_of(schema["items"], pairs, f"{name}.{number}") for number in kept]
    return pairs.get(name, "").strip()


def _index(key: str, name: str) -> int | None:
    if not key.startswith(f"{name}."):
        return None
    number = key[len(name) + 1 :].partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 6 else None


def empty(schema: Json) -> Draft:
    """A draft that nobody has touched: lists have as many entries as they must."""
    if schema.get("type") == "object":
        return {PRESENT: "", **{key: empty(part) for key, part in schema.get("properties", {}).items()}}
    if schema.get("type") == "array":
        return [empty(schema["items"]) for _ in range(schema.get("minItems", 0))]
    return ""


def draft_from(schema: Json, value: Json) -> Draft:
    """The draft that would say a value: `value_of` backwards."""
    if schema.get("type") == "object":
        given = value if isinstance(value, dict) else {}
        parts = {key: draft_from(part, given.get(key)) for key, part in schema.get("properties", {}).items()}
        return {PRESENT: YES if isinstance(value, dict) else "", **parts}
    if schema.get("type") == "array":
        return [draft_from(schema["items"], one) for one in value] if value else empty(schema)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def value_of(schema: Json, draft: Draft) -> Json:
    """The JSON of a draft; what was left empty is left out. What does not fit is kept: who checks it names it."""
    kind = schema.get("type")
    if kind == "object":
        parts = {key: value_of(part, draft.get(key, "")) for key, part in schema.get("properties", {}).items()}
        said = {key: value for key, value in parts.items() if value is not None}
        return said or ({} if draft.get(PRESENT) else None)
    if kind == "array":
        # An entry without any content still counts: an error must find it where it stands.
        nothing: Json = {} if schema["items"].get("type") == "object" else ""
        entries = [nothing if (value := value_of(schema["items"], one)) is None else value for one in draft]
        return entries if entries or schema.get("minItems") else None
    return _simple_value(schema, draft) if draft else None


def _variants(schema: Json) -> Sequence[Json]:
    """What a value may be one of."""
    found: Sequence[Json] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return found


def _simple_value(schema: Json, draft: str) -> Json:
    for one in _variants(schema):
        kind = one.get("type")
        if kind == "boolean" and draft in ("true", "false"):
            return draft == "true"
        if kind in ("integer", "number"):
            with contextlib.suppress(ValueError):
                return int(draft) if kind == "integer" else float(draft)
    return draft


def build(
    schema: Json, draft: Draft, name: str, label: str, *, required: bool = False, errors: Mapping[str, list[str]]
) -> Field:
    """The field for a schema, filled with a draft, with the errors that name it or a part that is not shown.

    Whatever is in a group that may be left out is not required: browsers would insist on it.
    """
    made = Field(name, label, "text", schema.get("description", ""), required, errors=list(errors.get(name, [])))
    kind = schema.get("type")
    if kind == "object":
        made.kind = "group"
        _group(made, schema, draft, errors)
    elif kind == "array":
        made.kind = "list"
        _list(made, schema, draft, errors)
    else:
        _simple(made, schema, draft)
    return made


def _group(made: Field, schema: Json, draft: Draft, errors: Mapping[str, list[str]]) -> None:
    needed = schema.get("required", [])
    made.optional = not made.required
    made.may_be_empty = made.optional and not needed
    made.used = bool(draft.get(PRESENT)) and made.may_be_empty
    made.children = [
        build(
            part, draft.get(key, ""), f"{made.name}.{key}", label_of(part, key),
            required=made.required and key in needed, errors=errors,
        )
        for key, part in schema.get("properties", {}).items()
    ]  # fmt: skip


def _list(made: Field, schema: Json, draft: Draft, errors: Mapping[str, list[str]]) -> None:
    fewest, most = schema.get("minItems", 0), min(schema.get("maxItems", MAX_ENTRIES), MAX_ENTRIES)
    singular = made.label.removesuffix("es" if made.label.endswith("xes") else "s")
    made.children = [
        build(schema["items"], one, f"{made.name}.{number}", f"{singular} {number + 1}", required=True, errors=errors)
        for number, one in enumerate(draft)
    ]
    made.used = len(draft) > fewest
    made.may_grow = len(draft) < most
    for child in made.children:
        child.may_go = len(draft) > fewest


def _simple(made: Field, schema: Json, draft: Draft) -> None:
    made.value = draft if isinstance(draft, str) else ""
    made.used = bool(made.value)
    kinds = {one.get("type") for one in _variants(schema)}
    made.choices = [str(choice) for one in _variants(schema) for choice in one.get("enum", ())]
    if kinds == {"boolean"}:
        made.kind, made.choices = "select", ["true", "false"]
    elif all("enum" in one for one in _variants(schema)):
        made.kind = "select"
    elif schema.get("writeOnly"):
        made.kind = "secret"
        made.attributes["autocomplete"] = "new-password"
    elif kinds <= {"integer", "number"}:
        # No type=number: browsers would throw away what is not a number, and the error with it.
        made.attributes["inputmode"] = "numeric"
        made.attributes["autocomplete"] = "off"
    else:
        made.attributes["autocomplete"] = "off"
    if "maxLength" in schema:
        made.attributes["maxlength"] = str(schema["maxLength"])
    if "default" in schema:
        default = schema["default"]
        made.attributes["placeholder"] = str(default).lower() if isinstance(default, bool) else str(default)


def resize(schema: Json, draft: Draft, path: Sequence[str], *, more: bool) -> None:
    """One entry more in the list at `path`, or without the entry at it; where there is none, nothing."""
    kind = schema.get("type")
    if kind == "object" and path and path[0] in schema.get("properties", {}):
        resize(schema["properties"][path[0]], draft[path[0]], path[1:], more=more)
    elif kind == "array" and not path and more and len(draft) < MAX_ENTRIES:
        draft.append(empty(schema["items"]))
    elif kind == "array" and path:
        number = _index(f".{path[0]}", "")
        if number is None or number >= len(draft):
            return
        if len(path) > 1:
            resize(schema["items"], draft[number], path[1:], more=more)
        elif not more:
            del draft[number]


def secrets(found: Iterable[Field]) -> Iterator[Field]:
    """All fields whose content is never shown again."""
    for one in found:
        if one.kind == "secret":
            yield one
        yield from secrets(one.children)


def label_of(schema: Json, key: str) -> str:
    return str(schema.get("title", key.capitalize()))


def labels(fields: Iterable[Field], above: str = "") -> dict[str, str]:
    """What people call the fields that are shown, by name: `Site 1, Name`."""
    found: dict[str, str] = {}
    for one in fields:
        own = f"{above}, {one.label}" if above else one.label
        # Entries of a list say already what they are in.
        found |= {one.name: own, **labels(one.children, "" if one.kind == "list" else own)}
    return found

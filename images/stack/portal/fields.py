"""Forms made from JSON schemas: what an offer asks for is asked, and nothing else; a new offer needs no new page.

A *draft* is what somebody typed, as a tree of texts; a *value* is the JSON that it stands for. A field is named by the
steps to it (`sites.0.gateway`), so that an error's JSON pointer finds its field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any
Draft = Any

MAX_ENTRIES = 100
"""Of a list in a form; a longer order is a program's business."""


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
    may_grow: bool = False
    may_go: bool = False

    @property
    def id(self) -> str:
        return "field-" + self.name.replace(".", "-")


def draft_of(schema: Json, pairs: Mapping[str, str], name: str) -> Draft:
    """What a form's fields say about one characteristic; entries of lists are numbered anew without gaps."""
    kind = schema.get("type")
    if kind == "object":
        return {key: draft_of(part, pairs, f"{name}.{key}") for key, part in schema.get("properties", {}).items()}
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
        return {key: empty(part) for key, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [empty(schema["items"]) for _ in range(max(1, schema.get("minItems", 0)))]
    return ""


def draft_from(schema: Json, value: Json) -> Draft:
    """The draft that would say a value: `value_of` backwards."""
    if schema.get("type") == "object":
        given = value if isinstance(value, dict) else {}
        return {key: draft_from(part, given.get(key)) for key, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [draft_from(schema["items"], one) for one in value] if value else empty(schema)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def value_of(schema: Json, draft: Draft) -> Json:
    """The JSON of a draft; what was left empty is left out. What does not fit is kept: who checks it names it."""
    kind = schema.get("type")
    if kind == "object":
        parts = {key: value_of(part, draft.get(key, "")) for key, part in schema.get("properties", {}).items()}
        return {key: value for key, value in parts.items() if value is not None} or None
    if kind == "array":
        # An entry without any content still counts: an error must find it where it stands.
        return [value_of(schema["items"], one) or {} for one in draft]
    return _simple_value(kind, draft) if draft else None


def _simple_value(kind: str | None, draft: str) -> Json:
    if kind == "boolean":
        return {"true": True, "false": False}.get(draft, draft)
    if kind in ("integer", "number"):
        try:
            return int(draft) if kind == "integer" else float(draft)
        except ValueError:
            return draft
    return draft


def build(
    schema: Json, draft: Draft, name: str, label: str, *, required: bool = False, errors: Mapping[str, list[str]]
) -> Field:
    """The field for a schema, filled with a draft, with the errors that name it or a part that is not shown."""
    made = Field(name, label, "text", schema.get("description", ""), required, errors=list(errors.get(name, [])))
    kind = schema.get("type")
    if kind == "object":
        made.kind = "group"
        needed = schema.get("required", [])
        made.children = [
            build(part, draft.get(key, ""), f"{name}.{key}", label_of(part, key), required=key in needed, errors=errors)
            for key, part in schema.get("properties", {}).items()
        ]
    elif kind == "array":
        made.kind = "list"
        fewest, most = schema.get("minItems", 0), min(schema.get("maxItems", MAX_ENTRIES), MAX_ENTRIES)
        singular = label.removesuffix("s")
        made.children = [
            build(schema["items"], one, f"{name}.{number}", f"{singular} {number + 1}", errors=errors)
            for number, one in enumerate(draft)
        ]
        made.may_grow = len(draft) < most
        for child in made.children:
            child.may_go = len(draft) > max(fewest, 1)
    else:
        _simple(made, schema, draft)
    return made


def _simple(made: Field, schema: Json, draft: Draft) -> None:
    made.value = draft if isinstance(draft, str) else ""
    kind = schema.get("type")
    if "enum" in schema or kind == "boolean":
        made.kind = "select"
        made.choices = [str(one) for one in schema.get("enum", ("true", "false"))]
    elif kind in ("integer", "number"):
        # No type=number: browsers would throw away what is not a number, and the error with it.
        made.attributes["inputmode"] = "numeric"
        made.attributes["autocomplete"] = "off"
    else:
        made.attributes["autocomplete"] = "off"
        if "maxLength" in schema:
            made.attributes["maxlength"] = str(schema["maxLength"])
    if "default" in schema:
        made.attributes["placeholder"] = str(schema["default"])


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

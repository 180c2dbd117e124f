"""Values that are taken and never given back: members whose schema says `writeOnly` (JSON Schema 2020-12, section
9.4). They are kept apart from the documents, so that nothing that shows a document can show them.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any
from xml.sax.saxutils import escape

Json = Any

HIDDEN = "(hidden)"
_QUOTES = {'"': "&quot;", "'": "&apos;"}


def write_only(schema: Json) -> Iterator[str]:
    """Names of the members that a schema wants kept."""
    if isinstance(schema, list):
        for one in schema:
            yield from write_only(one)
    elif isinstance(schema, dict):
        for name, one in schema.get("properties", {}).items():
            if isinstance(one, dict) and one.get("writeOnly"):
                yield name
        for one in schema.values():
            yield from write_only(one)


def without(value: Json, names: Collection[str]) -> Json:
    """The value without members of these names, however deep."""
    if isinstance(value, list):
        return [without(one, names) for one in value]
    if isinstance(value, dict):
        return {key: without(one, names) for key, one in value.items() if key not in names}
    return value


def holds(value: Json, names: Collection[str]) -> bool:
    """Is there a member of such a name?"""
    return bool(without(value, names) != value)


def redacted(value: Json, secrets: Collection[str]) -> Json:
    """The value, its texts without these secrets: for what others say, who should not repeat them."""
    if isinstance(value, str):
        for secret in secrets:
            # As it is, and as JSON, XML and Python write it.
            for form in {secret, json.dumps(secret)[1:-1], escape(secret), escape(secret, _QUOTES), repr(secret)[1:-1]}:
                value = value.replace(form, HIDDEN)
        return value
    if isinstance(value, list):
        return [redacted(one, secrets) for one in value]
    if isinstance(value, dict):
        return {key: redacted(one, secrets) for key, one in value.items()}
    return value

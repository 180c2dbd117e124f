"""JSON schemas that several offers share: `{"$ref": "FILE#/pointer"}` (JSON Schema 2020-12, section 8.2.3) with what it
names in its place, so that whoever reads the catalogue has a complete schema and asks nobody else.
"""

import json
from pathlib import Path
from typing import Any

Json = Any


def resolve(document: Json, file: Path) -> Json:
    """`document`, read from `file`, without references. What stands beside a reference says it better: it wins.

    Raises:
        ValueError: a reference leads nowhere, or in a circle.
    """
    return _resolved(document, file, ())


def _resolved(node: Json, file: Path, above: tuple[str, ...]) -> Json:
    if isinstance(node, list):
        return [_resolved(one, file, above) for one in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _resolved(one, file, above) for key, one in node.items() if key not in ("$ref", "$defs")}
    if "$ref" not in node:
        return rest
    name, _, place = str(node["$ref"]).partition("#")
    target = (file.parent / name).resolve() if name else file
    at = f"{target}#{place}"
    if at in above:
        raise ValueError(f"{file}: $ref {node['$ref']} leads in a circle")
    return {**_resolved(_at(target, place, file), target, (*above, at)), **rest}


def _at(target: Path, place: str, file: Path) -> Json:
    """What a reference of `file` names (JSON pointer, RFC 6901)."""
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
        for step in place.split("/")[1:]:
            found = found[step.replace("~1", "/").replace("~0", "~")]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file}: {target.name}#{place} cannot be read: {error!r}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: {target.name}#{place} is no schema")
    return found

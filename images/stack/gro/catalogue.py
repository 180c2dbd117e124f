"""The catalogue: service specifications (TMF633), each a JSON file of its own; a new offer is a new file, no code.

A characteristic carries `valueSchema`, a JSON schema (2020-12) of its value: our extension of TMF633's
`@valueSchemaLocation`, inline so that a client needs no second request; what offers share is in files of
`schema/`, which they name by `$ref`. `network` says how the SDNO builds the service.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from stackkit.problems import Problem, pointer

from gro import bodies, formats, references, secrecy
from gro.models import ServiceSpecificationRef

Json = Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CHARACTERISTICS = {"site", "sites", "directPaths", "cloud"}
"""What the SDNO knows to translate."""


class OfferError(Exception):
    """An offer's file cannot be used; the text names the file and why."""


@dataclass(frozen=True)
class Specification:
    id: str
    name: str
    internet: bool
    characteristics: dict[str, Json]
    document: dict[str, Json]

    def check(self, given: list[tuple[str, Json, str]], where: str, *, whole: bool = True) -> dict[str, Json]:
        """Characteristics of an item (name, value, JSON pointer) as a dict, or the first bad one's problem; all that
        are needed, if they are the `whole` service."""
        values: dict[str, Json] = {}
        for name, value, at in given:
            if name not in self.characteristics:
                known = ", ".join(sorted(self.characteristics))
                text = f"{self.name} has no characteristic {name!r}; it has: {known}"
                raise Problem(400, "Invalid order", text, at.removesuffix("/value") + "/name")
            if name in values:
                raise Problem(400, "Invalid order", f"characteristic {name!r} is given twice", at)
            self._check_value(name, value, at)
            values[name] = value
        for name, characteristic in self.characteristics.items():
            if whole and name not in values and characteristic.get("minCardinality", 0) > 0:
                raise Problem(400, "Invalid order", f"{self.name} needs the characteristic {name!r}", where)
        return values

    @property
    def secret_members(self) -> frozenset[str]:
        """Names of members that are taken and never given back."""
        return frozenset(secrecy.write_only([one["valueSchema"] for one in self.characteristics.values()]))

    def _check_value(self, name: str, value: Json, at: str) -> None:
        for path in _unclean(value, ()):
            raise Problem(400, "Invalid order", bodies.UNCLEAN, at + pointer(path))
        schema = self.characteristics[name]["valueSchema"]
        validator = jsonschema.Draft202012Validator(schema, format_checker=formats.CHECKER)
        error = next(iter(sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.path)))), None)
        if error is not None:
            raise Problem(400, "Invalid order", self._text(error), at + pointer(list(error.absolute_path)))

    def _text(self, error: jsonschema.ValidationError) -> str:
        """What is wrong; the value itself is repeated unless a part of it is a secret."""
        secret = self.secret_members
        if secret.isdisjoint(map(str, error.absolute_path)) and not secrecy.holds(error.instance, secret):
            return str(error.cause or error.message)[:300]
        return f"the value does not fit {error.validator} {str(error.validator_value)[:200]}"


def _unclean(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where texts with control characters are. Nothing that is ordered has any; to Python's `$`, which the schemas'
    patterns end in, a line's end is none (ECMA-262, section 22.2.2.4, has no such exception)."""
    if isinstance(value, str) and _CONTROL.search(value):
        yield path
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _unclean(one, (*path, key))


class Catalogue:
    """Specifications by id and by name."""

    def __init__(self, specifications: list[Specification]) -> None:
        self._by_id = {one.id: one for one in specifications}
        self._by_name = {one.name: one for one in specifications}

    @property
    def secret_members(self) -> frozenset[str]:
        """Names of members, of whatever offer, that are taken and never given back."""
        return frozenset(name for one in self for name in one.secret_members)

    def __iter__(self) -> Iterator[Specification]:
        return iter(self._by_id.values())

    def get(self, id_: str) -> Specification | None:
        return self._by_id.get(id_)

    def find(self, reference: ServiceSpecificationRef, where: str) -> Specification:
        """What a ServiceSpecificationRef (TMF641) names by `id`, or by `name` alone."""
        for key, given, index in (("id", reference.id, self._by_id), ("name", reference.name, self._by_name)):
            if given is None:
                continue
            if given not in index:
                offered = ", ".join(sorted(index))
                text = f"nothing of the catalogue has the {key} {given!r:.80}; offered are: {offered}"
                raise Problem(400, "Invalid order", text, f"{where}/{key}")
            return index[given]
        raise Problem(400, "Invalid order", "id or name of a specification is missing", where)


def load(folder: Path) -> Catalogue:
    """All offers of a folder."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise OfferError(f"{folder}: there is no offer (*.json) here")
    return Catalogue([_read(file) for file in files])


def _read(file: Path) -> Specification:
    try:
        document = references.resolve(json.loads(file.read_text(encoding="utf-8")), file)
        characteristics = {one["name"]: one for one in document["specCharacteristic"]}
        if unknown := sorted(characteristics.keys() - CHARACTERISTICS):
            raise ValueError(f"the SDNO knows no characteristic {', '.join(unknown)}")
        for one in characteristics.values():
            jsonschema.Draft202012Validator.check_schema(one["valueSchema"])
        internet = document["network"]["internet"]
        return Specification(document["id"], document["name"], bool(internet), characteristics, document)
    except (ValueError, KeyError, TypeError, jsonschema.SchemaError) as error:
        raise OfferError(f"{file}: not a service specification: {error!r}") from None

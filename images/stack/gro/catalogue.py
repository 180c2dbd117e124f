"""The catalogue: service specifications (TMF633), each a JSON file of its own; a new offer is a new file, no code.

A characteristic carries `valueSchema`, a JSON schema (2020-12) of its value: our extension of TMF633's
`@valueSchemaLocation`, inline so that a client needs no second request. `network` says how the SDNO builds the service.
"""

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from stackkit.problems import Problem, pointer

from gro.models import ServiceSpecificationRef

Json = Any

_FORMATS = jsonschema.FormatChecker(formats=())


@_FORMATS.checks("ipv4-interface", raises=ValueError)  # type: ignore[untyped-decorator]
def _is_gateway(value: object) -> bool:
    """A host's address within its prefix: neither the network's nor the broadcast address."""
    if not isinstance(value, str):
        return True  # the type is another rule's business
    interface = ipaddress.IPv4Interface(value)
    network = interface.network
    usable = network.prefixlen >= 31 or interface.ip not in (network.network_address, network.broadcast_address)
    return usable and not (interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback)


class OfferError(Exception):
    """An offer's file cannot be used; the text names the file and why."""


@dataclass(frozen=True)
class Specification:
    id: str
    name: str
    internet: bool
    characteristics: dict[str, Json]
    document: dict[str, Json]

    def check(self, given: list[tuple[str, Json, str]], where: str) -> dict[str, Json]:
        """Characteristics of an item (name, value, JSON pointer) as a dict, or the first bad one's problem."""
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
            if name not in values and characteristic.get("minCardinality", 0) > 0:
                raise Problem(400, "Invalid order", f"{self.name} needs the characteristic {name!r}", where)
        return values

    def _check_value(self, name: str, value: Json, at: str) -> None:
        validator = jsonschema.Draft202012Validator(self.characteristics[name]["valueSchema"], format_checker=_FORMATS)
        error = next(iter(sorted(validator.iter_errors(value), key=lambda e: list(map(str, e.path)))), None)
        if error is not None:
            text = f"{error.message[:300]}"
            raise Problem(400, "Invalid order", text, at + pointer(list(error.absolute_path)))


class Catalogue:
    """Specifications by id and by name."""

    def __init__(self, specifications: list[Specification]) -> None:
        self._by_id = {one.id: one for one in specifications}
        self._by_name = {one.name: one for one in specifications}

    def __iter__(self) -> Iterator[Specification]:
        return iter(self._by_id.values())

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
        document = json.loads(file.read_text(encoding="utf-8"))
        characteristics = {one["name"]: one for one in document["specCharacteristic"]}
        for one in characteristics.values():
            jsonschema.Draft202012Validator.check_schema(one["valueSchema"])
        internet = document["network"]["internet"]
        return Specification(document["id"], document["name"], bool(internet), characteristics, document)
    except (ValueError, KeyError, TypeError, jsonschema.SchemaError) as error:
        raise OfferError(f"{file}: not a service specification: {error!r}") from None

"""Order files: `topologies/NAME/orders/*.json`, one order each.

    {"tenant": "acme", "order": {"serviceOrderItem": [...]}}

`order` is the body of TMF641's POST serviceOrder, without the customer: that is `tenant`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = Any
FOLDER = "orders"
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEYS = {"sharedKey"}
_LARGEST = 1_000_000
_SHAPE = '{"tenant": NAME, "order": {"serviceOrderItem": [...]}}'


class OrderFileError(ValueError):
    """An order file that cannot be sent: which file, where in it, and what would mend it."""

    def __init__(self, path: Path, where: str, message: str, remedy: str) -> None:
        super().__init__(f"{path}{':' if where else ''}{where}: {message} ({remedy})")


@dataclass(frozen=True)
class OrderFile:
    """One order; `external_id` is the same for the same content, so that it is not sent twice."""

    path: Path
    tenant: str
    order: dict[str, Json]

    @property
    def external_id(self) -> str:
        """The file's own, if it has one (TMF641: the order in the customer's books), else made of name and content.

        Not of a key: everybody may read the identifier, and nobody may try keys on it.
        """
        if "externalId" in self.order:
            return str(self.order["externalId"])
        content = json.dumps([self.tenant, _told(self.order)], sort_keys=True, separators=(",", ":"))
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", self.path.stem)
        return f"labctl:{stem:.64}:{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def body(self) -> dict[str, Json]:
        """What is posted: an administrator names the customer (TMF641, relatedParty)."""
        customer = {"role": "customer", "id": self.tenant}
        parties = [*self.order.get("relatedParty", []), customer]
        return {**self.order, "externalId": self.external_id, "relatedParty": parties}

    def devices(self) -> set[str]:
        """Serial numbers of the devices of its sites."""
        return {site["device"] for site in _sites(self.order) if isinstance(site.get("device"), str)}


def _sites(order: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The sites that an order names, wherever a characteristic's value holds them; what else is wrong GRO says."""
    for item in _objects(order.get("serviceOrderItem")):
        service = item.get("service")
        for characteristic in _objects(service.get("serviceCharacteristic") if isinstance(service, dict) else None):
            value = characteristic.get("value")
            yield from _objects(value if isinstance(value, list) else [value])


def _told(value: Json) -> Json:
    """What of an order GRO gives back: all but keys."""
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items() if key not in _KEYS}
    return value


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def load_orders(folder: Path) -> list[OrderFile]:
    """All files of a topology, in the order of their names. Raises OrderFileError."""
    found = [load_order(path) for path in sorted((folder / FOLDER).glob("*.json"))]
    seen: dict[tuple[str, str], Path] = {}
    for one in found:
        other = seen.setdefault((one.tenant, one.external_id), one.path)
        if other != one.path:
            raise OrderFileError(one.path, "", f"it is the order of {other.name} again", "remove one of them")
    return found


def load_order(path: Path) -> OrderFile:
    """One file. What only GRO can know (offers, sites, devices) is left to it.

    Raises:
        OrderFileError: with place and remedy.
    """
    content = _parsed(path)
    if not isinstance(content, dict):
        raise OrderFileError(path, "", "an object is expected", f"write {_SHAPE}")
    if unknown := sorted(set(content) - {"tenant", "order"}):
        raise OrderFileError(path, f"/{unknown[0]}", "this member is not known", f"write {_SHAPE}")
    tenant, order = content.get("tenant"), content.get("order")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise OrderFileError(path, "/tenant", "no name of a tenant", "use a-z, 0-9 and inner hyphens, at most 63")
    if not isinstance(order, dict):
        raise OrderFileError(path, "/order", "an object is expected", "put TMF641's body of POST serviceOrder there")
    if not isinstance(order.get("serviceOrderItem"), list) or not order["serviceOrderItem"]:
        raise OrderFileError(path, "/order/serviceOrderItem", "an order has at least one item", "add one")
    _check_parties(path, order)
    if not isinstance(order.get("externalId", "x"), str) or not order.get("externalId", "x"):
        raise OrderFileError(path, "/order/externalId", "a text is expected", "leave it out and one is made")
    return OrderFile(path, tenant, order)


def _check_parties(path: Path, order: dict[str, Json]) -> None:
    parties = order.get("relatedParty", [])
    if not isinstance(parties, list):
        raise OrderFileError(path, "/order/relatedParty", "an array is expected", "leave it out")
    for index, party in enumerate(parties):
        if isinstance(party, dict) and party.get("role") == "customer":
            where = f"/order/relatedParty/{index}"
            raise OrderFileError(path, where, "the customer is the file's tenant", "remove it and name /tenant")


def _parsed(path: Path) -> Json:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OrderFileError(path, "", f"no text in UTF-8: {error}", "save it as UTF-8") from None
    except OSError as error:
        raise OrderFileError(path, "", error.strerror or str(error), "name a file that can be read") from None
    if len(text) > _LARGEST:
        raise OrderFileError(path, "", f"more than {_LARGEST} characters", "split the order")
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _distinct(path, pairs))
    except json.JSONDecodeError as error:
        raise OrderFileError(path, f"{error.lineno}:{error.colno}", f"no JSON: {error.msg}", "mend it") from None
    except RecursionError:
        raise OrderFileError(path, "", "it is nested too deep", "mend it") from None


def _distinct(path: Path, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """RFC 8259 section 4: what two members of one name mean is anybody's guess."""
    found: dict[str, Json] = {}
    for name, value in pairs:
        if name in found:
            raise OrderFileError(path, "", f"the member {name!r} is there twice", "remove one")
        found[name] = value
    return found

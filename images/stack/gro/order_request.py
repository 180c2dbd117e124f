"""What a TMF641 v4.1 POST of a service order may hold, checked before a row is written; a problem names the member."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from stackkit.problems import Problem

from gro import store
from gro.catalogue import Catalogue, Specification
from gro.sdno import Service, Site

Json = Any

TITLE = "Invalid order"
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MEMBERS = {
    "category": str, "description": str, "externalId": str, "priority": str, "requestedStartDate": str,
    "requestedCompletionDate": str, "notificationContact": str, "note": list, "relatedParty": list,
    "externalReference": list, "serviceOrderItem": list, "@type": str, "@baseType": str, "@schemaLocation": str,
}  # fmt: skip
READ_ONLY = {
    "id", "href", "state", "orderDate", "startDate", "completionDate", "expectedCompletionDate", "cancellationDate",
    "cancellationReason", "errorMessage", "milestone", "jeopardyAlert", "serviceOrderErrorMessage",
}  # fmt: skip
ITEM_MEMBERS = {"id": str, "action": str, "quantity": int, "service": dict, "@type": str, "@baseType": str}
SERVICE_MEMBERS = {
    "id": str, "name": str, "description": str, "serviceType": str, "category": str, "href": str,
    "serviceSpecification": dict, "serviceCharacteristic": list, "@type": str, "@baseType": str,
}  # fmt: skip
MAX_ITEMS = 100


def refuse(detail: str, where: str) -> Problem:
    return Problem(400, TITLE, detail, where)


@dataclass
class Added:
    item: str
    specification: Specification
    service: Service
    document: dict[str, Json]


@dataclass
class Checked:
    """A valid order: what it adds and removes. Sites are those that it brings."""

    tenant: str
    document: dict[str, Json]
    add: list[Added] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)


def members(value: Json, known: Mapping[str, type], where: str) -> dict[str, Json]:
    """An object with none but the known members, each of its type."""
    if not isinstance(value, dict):
        raise refuse("an object is expected", where)
    for name, given in value.items():
        at = f"{where}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in known:
            reason = "is set by the server" if name in READ_ONLY else "is not known here"
            raise refuse(f"the member {name!r:.80} {reason}", at)
        if not isinstance(given, known[name]) or isinstance(given, bool):
            kinds = {str: "a string", list: "an array", dict: "an object", int: "a number"}
            raise refuse(f"{kinds[known[name]]} is expected", at)
        if isinstance(given, str) and (
            "\0" in given or len(given) > 10_000 or (not given.isprintable() and "\n" not in given)
        ):
            raise refuse("control characters and texts above 10000 characters are not accepted", at)
    return value


def tenant_of(body: Mapping[str, Json], own: str | None) -> str:
    """A tenant's order is its own; an administrator names the customer as `relatedParty` (TMF641) of that role."""
    parties = body.get("relatedParty", [])
    named = None
    for index, party in enumerate(parties):
        if not isinstance(party, dict):
            raise refuse("an object is expected", f"/relatedParty/{index}")
        if party.get("role") == "customer":
            named = party.get("id", party.get("name"))
            if not isinstance(named, str) or not TENANT.fullmatch(named):
                raise refuse("the id of a customer is the name of a tenant", f"/relatedParty/{index}/id")
            if own is not None and named != own:
                raise refuse("a tenant orders for itself", f"/relatedParty/{index}/id")
    if own is None and named is None:
        raise refuse('an administrator names the customer: {"role": "customer", "id": TENANT}', "/relatedParty")
    return own or str(named)


class Checker:
    """Checks a body against the catalogue and the tenant's inventory, within the transaction that will write it."""

    def __init__(self, catalogue: Catalogue, connection: sa.Connection, own_tenant: str | None) -> None:
        self._catalogue = catalogue
        self._connection = connection
        self._own = own_tenant

    def check(self, body: Json) -> Checked:
        members(body, MEMBERS, "")
        items = body.get("serviceOrderItem")
        if not items:
            raise refuse("an order has at least one item", "/serviceOrderItem")
        if len(items) > MAX_ITEMS:
            raise refuse(f"an order has at most {MAX_ITEMS} items", "/serviceOrderItem")
        checked = Checked(tenant_of(body, self._own), body)
        seen: set[str] = set()
        for index, item in enumerate(items):
            self._item(checked, item, f"/serviceOrderItem/{index}", seen)
        return checked

    def _item(self, checked: Checked, item: Json, where: str, seen: set[str]) -> None:
        members(item, ITEM_MEMBERS, where)
        for needed in ("id", "action", "service"):
            if needed not in item:
                raise refuse(f"the member {needed!r} is missing", f"{where}/{needed}")
        if item["id"] in seen:
            raise refuse("two items have this id", f"{where}/id")
        seen.add(item["id"])
        if item.get("quantity", 1) != 1:
            raise refuse("a service has its own sites: order each in an item of its own", f"{where}/quantity")
        service = members(item["service"], SERVICE_MEMBERS, f"{where}/service")
        if item["action"] == "add":
            self._add(checked, item["id"], service, f"{where}/service")
        elif item["action"] == "delete":
            self._delete(checked, service, f"{where}/service")
        else:
            raise refuse(
                "add and delete are possible; to change a service delete it and add another", f"{where}/action"
            )

    def _add(self, checked: Checked, item: str, service: dict[str, Json], where: str) -> None:
        if "id" in service:
            raise refuse("the id of a new service is set by the server", f"{where}/id")
        if "serviceSpecification" not in service:
            raise refuse("a new service names its specification", f"{where}/serviceSpecification")
        specification = self._catalogue.find(service["serviceSpecification"], f"{where}/serviceSpecification")
        base = f"{where}/serviceCharacteristic"
        given: list[tuple[str, Json, str]] = []
        for index, one in enumerate(service.get("serviceCharacteristic", [])):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str) or "value" not in one:
                raise refuse("a characteristic is an object with name and value", f"{base}/{index}")
            given.append((one["name"], one["value"], f"{base}/{index}/value"))
        values = specification.check(given, base)
        places = {name: at for name, _, at in given}
        names: list[str] = []
        for name, value in values.items():
            listed = [(value, places[name])] if isinstance(value, dict) else [
                (one, f"{places[name]}/{index}") for index, one in enumerate(value)
            ]  # fmt: skip
            for one, at in listed:
                if one["name"] in names:
                    raise refuse("this site is named twice", f"{at}/name")
                names.append(self._site(checked, one, at))
        new = Service(str(uuid.uuid4()), checked.tenant, specification.internet, tuple(names))
        checked.add.append(Added(item, specification, new, service))

    def _site(self, checked: Checked, value: dict[str, Json], where: str) -> str:
        """A site by name if it exists or this order brings it (equal data may be repeated), else a new one."""
        name = str(value["name"])
        known = checked.sites.get(name) or store.find_site(self._connection, checked.tenant, name)
        if known is not None:
            for key, given in value.items():
                if known.document().get(key) != given:
                    raise refuse(f"site {name} exists with other data; its name alone would do", f"{where}/{key}")
            return name
        for needed in ("device", "access", "gateway"):
            if needed not in value:
                raise refuse(f"there is no site {name} yet: a new one needs {needed!r}", f"{where}/{needed}")
        site = Site(tenant=checked.tenant, **value)
        serials = {one.device for one in checked.sites.values()}
        if site.device in serials or store.device_is_used(self._connection, site.device):
            raise refuse("this device serves a site already", f"{where}/device")
        others = {**store.tenant_sites(self._connection, checked.tenant), **checked.sites}
        for other in others.values():
            if other.network.overlaps(site.network):
                raise refuse(f"{site.network} overlaps {other.network} of site {other.name}", f"{where}/gateway")
        checked.sites[name] = site
        return name

    def _delete(self, checked: Checked, service: dict[str, Json], where: str) -> None:
        id_ = service.get("id")
        row = store.one(self._connection, store.services, id_) if id_ else None
        if row is None or row["tenant"] != checked.tenant:
            raise refuse("an item with action delete names a service of the tenant by id", f"{where}/id")
        if id_ in checked.remove:
            raise refuse("two items delete this service", f"{where}/id")
        if row["state"] != "active" or row["removed_by"] is not None:
            text = f"the service is {row['state']}" + (", its end is ordered" if row["removed_by"] else "")
            raise Problem(409, "Service is not active", text, f"{where}/id")
        checked.remove.append(row["id"])

"""Whether an order can be: against catalogue, inventory and the other items, before a row is written.

That its members are as models.py says is known by then. A problem names the member to blame.
"""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from stackkit.problems import Problem

from gro import store
from gro.catalogue import Catalogue, Specification
from gro.models import ItemAdd, ServiceAdd, ServiceDelete, ServiceOrderCreate
from gro.sdno import Service, Site

Json = Any

TITLE = "Invalid order"
CUSTOMER = "customer"
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


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


def tenant_of(order: ServiceOrderCreate, own: str | None) -> str:
    """A tenant's order is its own; an administrator names the customer as `relatedParty` (TMF641) of that role."""
    named = None
    for index, party in enumerate(order.relatedParty or []):
        if party.role != CUSTOMER:
            continue
        named = party.id or party.name
        if named is None or not TENANT.fullmatch(named):
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

    def check(self, order: ServiceOrderCreate) -> Checked:
        checked = Checked(tenant_of(order, self._own), order.document())
        seen: set[str] = set()
        for index, item in enumerate(order.serviceOrderItem):
            where = f"/serviceOrderItem/{index}"
            if item.id in seen:
                raise refuse("two items have this id", f"{where}/id")
            seen.add(item.id)
            if isinstance(item, ItemAdd):
                self._add(checked, item.id, item.service, f"{where}/service")
            else:
                self._delete(checked, item.service, f"{where}/service")
        return checked

    def _add(self, checked: Checked, item: str, service: ServiceAdd, where: str) -> None:
        specification = self._catalogue.find(service.serviceSpecification, f"{where}/serviceSpecification")
        base = f"{where}/serviceCharacteristic"
        given = [
            (one.name, one.value, f"{base}/{index}/value") for index, one in enumerate(service.serviceCharacteristic)
        ]
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
        checked.add.append(Added(item, specification, new, service.document()))

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
        if site.device in serials or store.device_is_used(self._connection, checked.tenant, site.device):
            raise refuse("this device serves a site already", f"{where}/device")
        others = {**store.tenant_sites(self._connection, checked.tenant), **checked.sites}
        for other in others.values():
            if other.network.overlaps(site.network):
                raise refuse(f"{site.network} overlaps {other.network} of site {other.name}", f"{where}/gateway")
        checked.sites[name] = site
        return name

    def _delete(self, checked: Checked, service: ServiceDelete, where: str) -> None:
        row = store.one(self._connection, store.services, service.id)
        if row is None or row["tenant"] != checked.tenant:
            raise refuse("an item with action delete names a service of the tenant by id", f"{where}/id")
        if service.id in checked.remove:
            raise refuse("two items delete this service", f"{where}/id")
        if row["state"] != "active" or row["removed_by"] is not None:
            text = f"the service is {row['state']}" + (", its end is ordered" if row["removed_by"] else "")
            raise Problem(409, "Service is not active", text, f"{where}/id")
        checked.remove.append(row["id"])

"""Whether an order can be: against catalogue, inventory and the other items, before a row is written.

That its members are as models.py says is known by then. A problem names the member to blame.
"""

import dataclasses
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from stackkit.problems import Problem

from gro import cloud_rules, secrecy, site_rules, store
from gro.catalogue import Catalogue, Specification
from gro.models import ItemAdd, ServiceAdd, ServiceDelete, ServiceOrderCreate
from gro.ordered import Service, Site

Json = Any

TITLE = "Invalid order"
CUSTOMER = "customer"
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def refuse(detail: str, where: str) -> Problem:
    return Problem(400, TITLE, detail, where)


def blame(faults: Iterable[site_rules.Fault], where: str) -> None:
    """Refuse with the first fault, if there is one."""
    for place, text in faults:
        raise refuse(text, where + place)


@dataclass
class Added:
    item: str
    specification: Specification
    service: Service
    document: dict[str, Json]


@dataclass
class Checked:
    """A valid order: what it adds and removes. Sites are those that it brings. Nothing secret is in the document."""

    tenant: str
    document: dict[str, Json]
    add: list[Added] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Where in the body each of its sites (by name) and clouds (by service) is."""
    removed_at: dict[str, str] = field(default_factory=dict)
    """And the end of each service."""

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for added in self.add for secret in added.service.secrets)


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
        self._secret = self._catalogue.secret_members
        checked = Checked(tenant_of(order, self._own), secrecy.without(order.document(), self._secret))
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
        self._whole(checked)
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
        listed = [(values["site"], places["site"])] if "site" in values else [
            (one, f"{places['sites']}/{index}") for index, one in enumerate(values["sites"])
        ]  # fmt: skip
        for one, at in listed:
            if one["name"] in names:
                raise refuse("this site is named twice", f"{at}/name")
            names.append(self._site(checked, one, at))
        cloud = values.get("cloud")
        new = Service(
            str(uuid.uuid4()), checked.tenant, specification.internet, tuple(names),
            direct_paths=values.get("directPaths", False), cloud=secrecy.without(cloud, self._secret),
            shared_key=None if cloud is None else cloud.get("sharedKey"),
        )  # fmt: skip
        if cloud is not None:
            checked.places[new.id] = places["cloud"]
            blame(cloud_rules.faults(new), places["cloud"])
        document = secrecy.without(service.document(), self._secret)
        checked.add.append(Added(item, specification, new, document))

    def _site(self, checked: Checked, value: dict[str, Json], where: str) -> str:
        """A site by name if it exists or this order brings it (equal data may be repeated), else a new one."""
        name = str(value["name"])
        known = checked.sites.get(name) or store.find_site(self._connection, checked.tenant, name)
        if known is not None:
            same = dataclasses.replace(known, device_name=None)
            for key, given in value.items():
                if Site.of(checked.tenant, {**known.document(), key: given}) != same:
                    raise refuse(f"site {name} exists with other data; its name alone would do", f"{where}/{key}")
            return name
        for needed in ("device", "access", "gateway"):
            if needed not in value:
                raise refuse(f"there is no site {name} yet: a new one needs {needed!r}", f"{where}/{needed}")
        site = Site.of(checked.tenant, value)
        blame(site_rules.faults(site), where)
        others = {**store.tenant_sites(self._connection, checked.tenant), **checked.sites}
        blame(site_rules.neighbours(site, others.values()), where)
        checked.sites[name] = site
        checked.places[name] = where
        return name

    def _whole(self, checked: Checked) -> None:
        """What holds between the items, and between them and what the tenant has."""
        sites = {**store.tenant_sites(self._connection, checked.tenant), **checked.sites}
        staying = [one for one in store.alive(self._connection, checked.tenant) if one.id not in checked.remove]
        clouds = [one for one in staying if one.cloud is not None]
        for new in (added.service for added in checked.add):
            if new.cloud is not None:
                members = [sites[name] for name in new.sites]
                blame(cloud_rules.place(new, members, sites.values(), clouds), checked.places[new.id])
                clouds.append(new)
        for service in clouds:
            for name, site in checked.sites.items():
                blame(cloud_rules.overlaps(service, site), checked.places[name])
        self._exits(checked, sites, [*staying, *(added.service for added in checked.add)])

    def _exits(self, checked: Checked, sites: dict[str, Site], after: list[Service]) -> None:
        """Who sends packets for the Internet to the POP is in a service that takes them there."""
        served = {name for one in after if one.internet for name in one.sites}
        leaving = [one for one in store.alive(self._connection, checked.tenant) if one.id in checked.removed_at]
        for name, where in checked.places.items():
            if name in sites and sites[name].needs_pop_internet and name not in served:
                text = (
                    "some packets leave at the POP, which needs a service Site to Internet for this site: add an item"
                )
                raise refuse(f"{text}, or let all leave locally", f"{where}/localInternet")
        used = {name for one in after for name in one.sites}
        for service in leaving:
            for name in service.sites:
                if name in used and sites[name].needs_pop_internet and name not in served:
                    text = f"site {name} has a rule by which packets leave at the POP: end its other services, too"
                    raise refuse(text, checked.removed_at[service.id])

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
        checked.removed_at[row["id"]] = f"{where}/id"

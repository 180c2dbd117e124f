"""Whether an order can be: against catalogue, inventory and the other items, before a row is written.

That its members are as models.py says is known by then. A problem names the member to blame.
"""

import dataclasses
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from stackkit.problems import Problem

from gro import changes, cloud_rules, secrecy, site_rules, store, wholeness
from gro.catalogue import Catalogue
from gro.checked import Added, Checked, Modified, blame, refuse
from gro.models import (
    Characteristic,
    ItemAdd,
    ItemModify,
    ServiceAdd,
    ServiceDelete,
    ServiceModify,
    ServiceOrderCreate,
)
from gro.ordered import Service, Site

Json = Any

CUSTOMER = "customer"
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


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
    """Checks a body against the catalogue and the tenant's inventory, within the transaction that will write it.

    `domain` is the operator's.
    """

    def __init__(self, catalogue: Catalogue, connection: sa.Connection, own_tenant: str | None, domain: str) -> None:
        self._catalogue = catalogue
        self._connection = connection
        self._own = own_tenant
        self._domain = domain

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
            elif isinstance(item, ItemModify):
                self._modify(checked, item.id, item.service, f"{where}/service")
            else:
                self._delete(checked, item.service, f"{where}/service")
        wholeness.check(self._connection, checked)
        return checked

    # -- services --

    def _add(self, checked: Checked, item: str, service: ServiceAdd, where: str) -> None:
        specification = self._catalogue.find(service.serviceSpecification, f"{where}/serviceSpecification")
        given, base = _given(service.serviceCharacteristic, where)
        values = specification.check(given, base)
        new = Service(str(uuid.uuid4()), checked.tenant, specification.internet, ())
        new = self._as_given(checked, new, values, {name: at for name, _, at in given})
        checked.add.append(Added(item, specification, new, secrecy.without(service.document(), self._secret)))

    def _modify(self, checked: Checked, item: str, service: ServiceModify, where: str) -> None:
        row = self._its(checked, service.id, "modify", where)
        specification = self._catalogue.get(row["specification"])
        if specification is None:
            raise Problem(409, "Offer is gone", f"{row['specification']} is not offered any more", f"{where}/id")
        if service.serviceSpecification is not None:
            named = self._catalogue.find(service.serviceSpecification, f"{where}/serviceSpecification")
            if named is not specification:
                text = f"the service is of the specification {specification.id}, and stays so: leave this out"
                raise refuse(text, f"{where}/serviceSpecification")
        given, base = _given(service.serviceCharacteristic, where)
        values = specification.check(given, base, whole=False)
        before = store.service_of(row)
        after = self._as_given(checked, before, values, {name: at for name, _, at in given})
        document = {**row["document"], "service": self._merged(row["document"]["service"], service.document())}
        checked.modify.append(Modified(item, before, after, row["document"], document))

    def _merged(self, old: Json, new: Json) -> Json:
        """The service's document with what the item says anew."""
        new = secrecy.without(new, self._secret)
        told = {key: value for key, value in new.items() if key not in ("id", "href", "serviceSpecification")}
        values = {one["name"]: one for one in (*old["serviceCharacteristic"], *told.get("serviceCharacteristic", []))}
        return {**old, **told, "serviceCharacteristic": list(values.values())}

    def _delete(self, checked: Checked, service: ServiceDelete, where: str) -> None:
        checked.remove.append(self._its(checked, service.id, "delete", where)["id"])

    def _its(self, checked: Checked, id_: str, action: str, where: str) -> store.Row:
        """The tenant's active service of this id, about which no other item and no other order is."""
        row = store.one(self._connection, store.services, id_)
        if row is None or row["tenant"] != checked.tenant:
            raise refuse(f"an item with action {action} names a service of the tenant by id", f"{where}/id")
        if id_ in checked.items:
            raise refuse("two items are about this service", f"{where}/id")
        busy = changes.is_busy(self._connection, id_)
        if row["state"] != "active" or row["removed_by"] is not None or busy:
            text = f"the service is {row['state']}" + (", its end is ordered" if row["removed_by"] else "")
            title = "Service is being changed" if busy else "Service is not active"
            raise Problem(409, title, text + (", and an open order changes it" if busy else ""), f"{where}/id")
        checked.items[id_] = f"{where}/id"
        return row

    def _as_given(self, checked: Checked, service: Service, values: dict[str, Json], places: dict[str, str]) -> Service:
        """The service with these characteristics; the others stay."""
        made = service
        if listed := list(_sites(values, places)):
            names: list[str] = []
            for one, at in listed:
                if one["name"] in names:
                    raise refuse("this site is named twice", f"{at}/name")
                names.append(self._site(checked, one, at, may_change=one["name"] in service.sites))
            made = dataclasses.replace(made, sites=tuple(names))
            if set(names) != set(service.sites):
                checked.listed[made.id] = places.get("site") or places["sites"]
        if "directPaths" in values:
            made = dataclasses.replace(made, direct_paths=values["directPaths"])
        if "cloud" in values:
            cloud = values["cloud"]
            key = cloud.get("sharedKey", service.shared_key)
            made = dataclasses.replace(made, cloud=secrecy.without(cloud, self._secret), shared_key=key)
            checked.places[made.id] = places["cloud"]
            blame(cloud_rules.faults(made, self._domain), places["cloud"])
        return made

    # -- sites --

    def _site(self, checked: Checked, value: dict[str, Json], where: str, *, may_change: bool) -> str:
        """A site by name if it exists or this order brings it (equal data may be repeated), or is changed, or new."""
        name = str(value["name"])
        known = checked.fresh_sites.get(name) or store.find_site(self._connection, checked.tenant, name)
        if known is not None and (len(value) == 1 or not may_change):
            if (member := _difference(known, value)) is None:
                return name
            text = f"site {name} exists with other data; its name alone would do"
            raise refuse(f"{text}, and to change it modify its service", f"{where}/{member}")
        for needed in ("device", "access", "gateway"):
            if needed not in value:
                what = f"there is no site {name} yet: a new one" if known is None else f"site {name}, to be changed,"
                raise refuse(f"{what} needs {needed!r}", f"{where}/{needed}")
        site = Site.of(checked.tenant, value)
        if known is not None and site == dataclasses.replace(known, device_name=None):
            return name
        blame(site_rules.faults(site), where)
        if known is not None:
            self._change(checked, known, site, where)
        if known is None:
            checked.sites[name] = site
        checked.places[name] = where
        return name

    def _change(self, checked: Checked, known: Site, site: Site, where: str) -> None:
        """A site that is there stays where it is and what it is; all else may change."""
        for member in ("device", "access"):
            if getattr(site, member) != getattr(known, member):
                text = f"a site keeps its {member}: end its services and order them anew"
                raise refuse(text, f"{where}/{member}")
        if site.name in checked.fresh_sites:
            raise refuse("another item says other things of this site", where)
        if any(one.name == site.name for one in changes.open_sites(self._connection, checked.tenant)):
            raise Problem(409, "Site is being changed", f"an open order changes site {site.name}", where)
        checked.changed[site.name] = (known, dataclasses.replace(site, device_name=known.device_name))


def _given(characteristics: Sequence[Characteristic], where: str) -> tuple[list[tuple[str, Json, str]], str]:
    """Name, value and place of each, and the place of all."""
    base = f"{where}/serviceCharacteristic"
    return [(one.name, one.value, f"{base}/{index}/value") for index, one in enumerate(characteristics)], base


def _sites(values: dict[str, Json], places: dict[str, str]) -> Iterator[tuple[dict[str, Json], str]]:
    """The sites of a service, as its offer has them, with their places."""
    if "site" in values:
        yield values["site"], places["site"]
    for index, one in enumerate(values.get("sites", [])):
        yield one, f"{places['sites']}/{index}"


def _difference(known: Site, value: dict[str, Json]) -> str | None:
    """A member by which the value says something else than is known."""
    same = dataclasses.replace(known, device_name=None)
    different = (key for key, one in value.items() if Site.of(known.tenant, {**known.document(), key: one}) != same)
    return next(different, None)

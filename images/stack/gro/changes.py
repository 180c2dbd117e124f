"""Changes of services that are there (TMF641, action `modify`): what each was and what it is to be, as long as its
order is open. Undone, a service is again what it was.
"""

from typing import Any

import sqlalchemy as sa

from gro import store
from gro.checked import Checked, Modified
from gro.ordered import Service, Site

Json = Any
Row = store.Row

BEFORE, AFTER = "before", "after"


def write(connection: sa.Connection, order: str, checked: Checked) -> None:
    """In the order's own transaction."""
    for one in checked.modify:
        values = {BEFORE: _version(one.before, one.old_document), AFTER: _version(one.after, _told(order, one))}
        key = {"service_order": order, "service": one.after.id, "tenant": checked.tenant}
        connection.execute(sa.insert(store.modifications).values(**key, **values))
    for name, (before, after) in checked.changed.items():
        key = {"service_order": order, "tenant": checked.tenant, "name": name}
        values = {BEFORE: before.document(), AFTER: after.document()}
        connection.execute(sa.insert(store.site_changes).values(**key, **values))


def _version(service: Service, document: Json) -> Json:
    columns = store.options_of(service)
    plain = {key: None if isinstance(value, sa.sql.elements.Null) else value for key, value in columns.items()}
    return {"sites": list(service.sites), "document": document, **plain}


def _told(order: str, one: Modified) -> Json:
    """The service's document, with this order among those that made it what it is."""
    reference = {"serviceOrderId": order, "itemId": one.item}
    return {**one.document, "changes": [*one.document.get("changes", []), reference]}


def of_order(connection: sa.Connection, order: str) -> list[Row]:
    """Rows of the order's modifications; `before` and `after` are versions."""
    table = store.modifications
    rows = connection.execute(sa.select(table).where(table.c.service_order == order).order_by(table.c.service))
    return [dict(row._mapping) for row in rows]


def service_of(connection: sa.Connection, row: Row, which: str) -> Service:
    """The service as it was or is to be."""
    known = store.one(connection, store.services, row["service"])
    assert known is not None
    return store.service_of({**known, **row[which]})


def sites_of(connection: sa.Connection, order: str) -> set[str]:
    """Names of the sites that the order brings to a service that is there, or changes."""
    changed = sa.select(store.site_changes.c.name).where(store.site_changes.c.service_order == order)
    new = {name for row in of_order(connection, order) for name in set(row[AFTER]["sites"]) - set(row[BEFORE]["sites"])}
    return new | set(connection.execute(changed).scalars())


def put(connection: sa.Connection, order: str, which: str) -> None:
    """Services and sites of the order are what they were, or what they are to be; what is told of them is not yet."""
    for row in of_order(connection, order):
        version = row[which]
        columns = {key: sa.null() if version[key] is None else version[key] for key in ("options", "secret")}
        store.set_services(connection, [row["service"]], sites=version["sites"], **columns)
    table = store.site_changes
    found = list(connection.execute(sa.select(table).where(table.c.service_order == order)).mappings())
    # Two sites may have exchanged their places: none has one while they move.
    for number, site in enumerate(found, 1):
        store.set_site(connection, site["tenant"], site["name"], vlan=-number)
    for site in found:
        store.set_site(connection, site["tenant"], site["name"], **store.columns_of(site[which]))


def end(connection: sa.Connection, order: str, *, done: bool) -> list[str]:
    """The order has ended; ids of the services that are other than before, be it by sites that they share."""
    rows = of_order(connection, order)
    sharing: list[str] = []
    if done:
        for row in rows:
            store.set_services(connection, [row["service"]], document=row[AFTER]["document"])
        sharing = _sharing(connection, order)
    for table in (store.modifications, store.site_changes):
        connection.execute(sa.delete(table).where(table.c.service_order == order))
    return sorted({*(row["service"] for row in rows), *sharing}) if done else []


def _sharing(connection: sa.Connection, order: str) -> list[str]:
    """Services of other orders, that have not ended, with sites that the order has changed."""
    table, known = store.site_changes, store.services.c
    found = connection.execute(sa.select(table.c.tenant, table.c.name).where(table.c.service_order == order)).all()
    names, tenants = {row.name for row in found}, {row.tenant for row in found}
    query = sa.select(known.id, known.sites).where(
        known.tenant.in_(tenants), known.state.in_(store.LIVING), known.added_by != order
    )
    return [row.id for row in connection.execute(query) if names & set(row.sites)]


def is_busy(connection: sa.Connection, service: str) -> bool:
    """Does an open order change this service?"""
    table = store.modifications
    return connection.execute(sa.select(table.c.service).where(table.c.service == service)).first() is not None


def open_services(connection: sa.Connection, tenant: str) -> list[Service]:
    """Services that open orders change or end, as they are to be, or were."""
    rows = connection.execute(sa.select(store.modifications).where(store.modifications.c.tenant == tenant)).mappings()
    found = [service_of(connection, dict(row), which) for row in rows for which in (BEFORE, AFTER)]
    return [*found, *store.ending(connection, tenant)]


def open_sites(connection: sa.Connection, tenant: str) -> list[Site]:
    """Sites that open orders change, as they are to be, or were."""
    table = store.site_changes
    found = connection.execute(sa.select(table).where(table.c.tenant == tenant)).mappings()
    return [Site.of(tenant, row[which]) for row in found for which in (BEFORE, AFTER)]

"""GRO's rows: orders, services, sites, cancellations, listeners and what is still to be told to them."""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa
from stackkit import durable

from gro.ordered import Service, Site

Json = Any
Row = dict[str, Any]

metadata = sa.MetaData()
LIVING = ("reserved", "active")
"""States of services that have not ended."""


def _where(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    """Of an index: the rows that it has."""
    return {"sqlite_where": condition, "postgresql_where": condition}


orders = sa.Table(
    "service_order",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("started", sa.String),
    sa.Column("completed", sa.String),
    sa.Column("problem", sa.String),
)
services = sa.Table(
    "service",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False, index=True),
    sa.Column("specification", sa.String, nullable=False),
    sa.Column("internet", sa.Boolean, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # TMF638: reserved, active, terminated
    sa.Column("in_network", sa.Boolean, nullable=False),
    sa.Column("sites", sa.JSON, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("added_by", sa.String, nullable=False),
    sa.Column("removed_by", sa.String),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("ended", sa.String),
    sa.Column("options", sa.JSON),  # beyond the sites: what of the offer's characteristics the network is told
    sa.Column("secret", sa.JSON),  # the same that is never given back; null when the service has ended
)
# Services that have ended are kept for good: what an order asks must not cost more the more of them there are.
service_indexes = (
    sa.Index("service_added_by", services.c.added_by),
    sa.Index("service_removed_by", services.c.removed_by, **_where(services.c.removed_by.is_not(None))),
    sa.Index("service_state", services.c.tenant, services.c.state),
    sa.Index("service_in_network", services.c.tenant, services.c.in_network),
)
sites = sa.Table(
    "site",
    metadata,
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("device", sa.String, nullable=False),
    sa.Column("device_name", sa.String),  # null until the registry has said that the tenant may have it
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("port", sa.String, nullable=False, default="lan"),
    sa.Column("vlan", sa.Integer, nullable=False, default=0),  # 0: untagged
    # Whatever two orders have read: a port, or a VLAN of it, is one site's. (Of other tenants' orders nobody learns.)
    sa.UniqueConstraint("tenant", "device", "port", "vlan"),
)
modifications = sa.Table(
    "modification",
    metadata,
    sa.Column("service_order", sa.String, primary_key=True),
    sa.Column("service", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False, index=True),
    sa.Column("before", sa.JSON, nullable=False),  # columns of `service`
    sa.Column("after", sa.JSON, nullable=False),
)
site_changes = sa.Table(
    "site_change",
    metadata,
    sa.Column("service_order", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("before", sa.JSON, nullable=False),  # the site's document
    sa.Column("after", sa.JSON, nullable=False),
)
cancellations = sa.Table(
    "cancellation",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String, nullable=False, index=True),
    sa.Column("service_order", sa.String, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
listeners = sa.Table(
    "listener",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("tenant", sa.String),  # null: an administrator's, told about all tenants
    sa.Column("api", sa.String, nullable=False),
    sa.Column("callback", sa.String, nullable=False),
    sa.Column("query", sa.String),
)
deliveries = sa.Table(
    "delivery",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("listener", sa.String, sa.ForeignKey("listener.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
)


# Made once: to put a statement together costs as much as to carry it out, and an order needs dozens.
_ONE = {
    table.name: sa.select(table).where(table.c.id == sa.bindparam("of_id"))
    for table in (orders, services, cancellations, listeners)
}
_SERVICES_BY = {
    column.name: sa.select(services).where(column == sa.bindparam("of_order")).order_by(services.c.id)
    for column in (services.c.added_by, services.c.removed_by)
}
_SITES_OF = sa.select(sites).where(sites.c.tenant == sa.bindparam("of_tenant")).order_by(sites.c.name)
_LISTENERS = sa.select(listeners).where(
    listeners.c.api == sa.bindparam("of_api"),
    sa.or_(listeners.c.tenant.is_(None), listeners.c.tenant == sa.bindparam("of_tenant")),
)


def create_tables(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def create_journal(connection: sa.Connection) -> None:
    durable.create_tables(connection)


def free_devices(connection: sa.Connection) -> None:
    """A device was unique among all tenants: who named it first kept its owner from it."""
    _sites_anew(connection)


def share_devices(connection: sa.Connection) -> None:
    """A device was unique within a tenant: now a port, or a VLAN of it, is."""
    _sites_anew(connection)


def keep_options(connection: sa.Connection) -> None:
    """Services were sites and Internet, and nothing else."""
    there = {one["name"] for one in sa.inspect(connection).get_columns("service")}
    for column in sorted({"options", "secret"} - there):
        connection.execute(sa.text(f"ALTER TABLE service ADD COLUMN {column} JSON"))


def keep_changes(connection: sa.Connection) -> None:
    """Services were built and ended, never changed."""
    for table in (modifications, site_changes):
        table.create(connection, checkfirst=True)


def find_services(connection: sa.Connection) -> None:
    """All services were read for those of one order."""
    for index in service_indexes:
        index.create(connection, checkfirst=True)


def _sites_anew(connection: sa.Connection) -> None:
    """The table as it is declared now, with the rows that an older one had."""
    connection.execute(sa.text("ALTER TABLE site RENAME TO site_before"))
    sites.create(connection)
    kept = ("tenant", "name", "device", "device_name", "document")
    before = sa.table("site_before", *(sa.column(name, sites.c[name].type) for name in kept))
    for row in connection.execute(sa.select(before)).all():
        values = dict(row._mapping)
        connection.execute(sa.insert(sites).values(**{**values, **columns_of(values["document"])}))
    connection.execute(sa.text("DROP TABLE site_before"))


MIGRATIONS = (create_tables, create_journal, free_devices, share_devices, keep_options, keep_changes, find_services)


def columns_of(document: Json) -> Row:
    """A site's document, and what of it has columns."""
    return {"document": document, "port": document.get("port", "lan"), "vlan": document.get("vlan", 0)}


def add_site(connection: sa.Connection, site: Site) -> None:
    values = {"tenant": site.tenant, "name": site.name, "device": site.device}
    connection.execute(sa.insert(sites).values(**values, **columns_of(site.document())))


def set_site(connection: sa.Connection, tenant: str, name: str, **values: Any) -> None:
    key = sa.and_(sites.c.tenant == tenant, sites.c.name == name)
    connection.execute(sa.update(sites).where(key).values(**values))


def one(connection: sa.Connection, table: sa.Table, id_: str) -> Row | None:
    row = connection.execute(_ONE[table.name], {"of_id": id_}).one_or_none()
    return None if row is None else dict(row._mapping)


def many(connection: sa.Connection, table: sa.Table, tenant: str | None) -> list[Row]:
    """Rows of one tenant (None: of all), oldest first."""
    query = sa.select(table)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    if "created" in table.c:
        query = query.order_by(table.c.created, table.c.id)
    return [dict(row._mapping) for row in connection.execute(query)]


def site_of(row: Row) -> Site:
    return Site.of(row["tenant"], row["document"], row["device_name"])


def service_of(row: Row) -> Service:
    options, secret = row["options"] or {}, row["secret"] or {}
    return Service(
        row["id"], row["tenant"], row["internet"], tuple(row["sites"]),
        direct_paths=options.get("directPaths", False), cloud=options.get("cloud"), shared_key=secret.get("sharedKey"),
    )  # fmt: skip


def options_of(service: Service) -> Row:
    """The columns for what a service is beyond its sites."""
    options: Json = {"directPaths": True} if service.direct_paths else {}
    if service.cloud is not None:
        options["cloud"] = service.cloud
    secret = None if service.shared_key is None else {"sharedKey": service.shared_key}
    return {"options": options or sa.null(), "secret": secret or sa.null()}


def find_site(connection: sa.Connection, tenant: str, name: str) -> Site | None:
    query = sa.select(sites).where(sites.c.tenant == tenant, sites.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else site_of(dict(row._mapping))


def name_device(connection: sa.Connection, tenant: str, site: str, name: str) -> bool:
    """Makes the device this tenant's, for this site; False if it is another's."""
    if is_anothers(connection, tenant, name):
        return False
    set_site(connection, tenant, site, device_name=name)
    return True


def is_anothers(connection: sa.Connection, tenant: str, name: str) -> bool:
    """Does the device of this name serve another tenant?"""
    taken = sa.select(sites.c.name).where(sites.c.device_name == name, sites.c.tenant != tenant)
    return connection.execute(taken).first() is not None


def all_sites(connection: sa.Connection, tenant: str | None) -> list[Site]:
    """Sites of one tenant (None: of all)."""
    query = sa.select(sites).order_by(sites.c.tenant, sites.c.name)
    if tenant is not None:
        query = query.where(sites.c.tenant == tenant)
    return [site_of(dict(row._mapping)) for row in connection.execute(query)]


def tenant_sites(connection: sa.Connection, tenant: str, names: Collection[str] | None = None) -> dict[str, Site]:
    """All sites of a tenant by name, or those of these names that are there."""
    query = _SITES_OF if names is None else _SITES_OF.where(sites.c.name.in_(names))
    rows = connection.execute(query, {"of_tenant": tenant})
    return {row.name: site_of(dict(row._mapping)) for row in rows}


def services_by(connection: sa.Connection, column: sa.Column[Any], order: str) -> list[Row]:
    rows = connection.execute(_SERVICES_BY[column.name], {"of_order": order})
    return [dict(row._mapping) for row in rows]


def in_network(connection: sa.Connection, tenant: str, using: Collection[str] | None = None) -> list[Service]:
    """Services of a tenant that the network has; with ``using`` those that have one of these sites."""
    query = sa.select(services).where(services.c.tenant == tenant, services.c.in_network)
    if using is not None:
        its = sa.func.json_each(services.c.sites).table_valued("value")
        query = query.where(sa.select(its.c.value).where(its.c.value.in_(using)).exists())
    return [service_of(dict(row._mapping)) for row in connection.execute(query)]


def alive(connection: sa.Connection, tenant: str) -> list[Service]:
    """Services that are there or on their way, and whose end nobody has ordered."""
    query = sa.select(services).where(
        services.c.tenant == tenant, services.c.state.in_(LIVING), services.c.removed_by.is_(None)
    )
    return [service_of(dict(row._mapping)) for row in connection.execute(query)]


def ending(connection: sa.Connection, tenant: str) -> list[Service]:
    """Services whose end is ordered, and that come back if it is not to be."""
    query = sa.select(services).where(
        services.c.tenant == tenant, services.c.state.in_(LIVING), services.c.removed_by.is_not(None)
    )
    return [service_of(dict(row._mapping)) for row in connection.execute(query)]


def set_services(connection: sa.Connection, ids: Sequence[str], **values: Any) -> None:
    if ids:
        connection.execute(sa.update(services).where(services.c.id.in_(ids)).values(**values))


def drop_unused_sites(connection: sa.Connection, tenant: str) -> list[str]:
    """A site lives as long as a service that has not ended uses it; returns the names of those that went."""
    query = sa.select(services.c.sites).where(services.c.tenant == tenant, services.c.state.in_(LIVING))
    used = {name for names in connection.execute(query).scalars() for name in names}
    changing = sa.select(modifications.c.before, modifications.c.after).where(modifications.c.tenant == tenant)
    used |= {name for versions in connection.execute(changing) for one in versions for name in one["sites"]}
    there = connection.execute(sa.select(sites.c.name).where(sites.c.tenant == tenant)).scalars()
    gone = sorted(set(there) - used)
    if gone:
        connection.execute(sa.delete(sites).where(sites.c.tenant == tenant, sites.c.name.in_(gone)))
    return gone


def listeners_of(connection: sa.Connection, tenant: str | None, api: str) -> int:
    """How many a tenant (None: the administrators) has."""
    mine = listeners.c.tenant.is_(None) if tenant is None else listeners.c.tenant == tenant
    query = sa.select(sa.func.count()).select_from(listeners).where(mine, listeners.c.api == api)
    return int(connection.execute(query).scalar_one())


def tell(connection: sa.Connection, api: str, tenant: str, body: Callable[[], Json]) -> None:
    """Puts an event into the outbox, in the transaction of what happened, for each listener whose query it meets. It is
    made only if there is a listener."""
    found = connection.execute(_LISTENERS, {"of_api": api, "of_tenant": tenant}).all()
    if not found:
        return
    told = json.loads(json.dumps(body()))
    for row in found:
        wanted = dict(pair.split("=", 1) for pair in (row.query or "").split("&") if "=" in pair)
        if all(told.get(key) in value.split(",") for key, value in wanted.items()):
            values = {"listener": row.id, "body": told, "attempts": 0, "due": 0.0}
            connection.execute(sa.insert(deliveries).values(**values))

"""What the routes share, and the rule of who sees what: a tenant its own, an administrator all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from stackkit import durable
from stackkit.database import Database
from stackkit.problems import Problem
from stackkit.tokens import Caller

from gro import documents, store
from gro.catalogue import Catalogue
from gro.notices import Notices
from gro.restconf import Controller, Manager
from gro.watch import Watch

Json = Any
Authenticate = Callable[[Request], Awaitable[Caller]]


@dataclass
class Desk:
    database: Database
    catalogue: Catalogue
    engine: durable.Engine
    controller: Controller
    manager: Manager
    notices: Notices
    watch: Watch
    domain: str
    """The operator's."""
    allow_internal: bool = False

    def order(self, id_: str, who: Caller) -> store.Row:
        """The order, if it is there *for this caller*: another tenant's is as absent as one that never was."""
        with self.database.read() as connection:
            return visible(store.one(connection, store.orders, id_), who, f"service order {id_:.80}")

    def document(self, row: store.Row) -> dict[str, Json]:
        with self.database.read() as connection:
            services = store.services_by(connection, store.services.c.added_by, row["id"])
        return documents.order(row, services, self.engine.journal.records(row["id"]))


def scope_of(who: Caller) -> str | None:
    """The tenant whose rows a caller sees; None: all."""
    if "admin" in who.roles:
        return None
    if who.tenant is None:
        raise Problem(403, "Forbidden", "the token names no tenant")
    return who.tenant


def visible(row: store.Row | None, who: Caller, what: str) -> store.Row:
    tenant = scope_of(who)
    if row is None or tenant not in (None, row["tenant"]):
        raise Problem(404, "Not Found", f"there is no {what}")
    return row

"""Tenants, users and programs in the database: the rules that hold however they are changed."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, TypeVar, get_type_hints

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from stackkit.database import Database

from .records import ADMIN, Program, Record, Tenant, User
from .schema import new_id, now

R = TypeVar("R", bound=Record)

_TABLES: dict[type[Record], str] = {Tenant: "tenants", User: "users", Program: "programs"}
_COLUMNS: dict[type[Record], tuple[str, ...]] = {kind: tuple(f.name for f in fields(kind)) for kind in _TABLES}
_LISTS = frozenset({"roles", "redirect_uris", "post_logout_uris"})


class DirectoryError(Exception):
    """A rule was broken; the text says which and what to do."""


class NotUnique(DirectoryError):
    """The name is taken."""


class UnknownTenant(DirectoryError):
    """A user or program names a tenant that does not exist."""


class InUse(DirectoryError):
    """Others depend on it."""


class Stale(DirectoryError):
    """It was changed since the caller read it."""


class NotFound(DirectoryError):
    """There is no such record."""


class Directory:
    """Every change is one transaction, on disk when the method returns (SQLite, synchronous=FULL)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, kind: type[R], record_id: str) -> R | None:
        return self.find(kind, "id", record_id)

    def find(self, kind: type[R], column: str, value: str) -> R | None:
        with self._database.read() as connection:
            return _find(connection, kind, column, value)

    def page(self, kind: type[R], where: tuple[str, str] | None, start: int, count: int) -> tuple[int, list[R]]:
        """How many match, and `count` of them from the 1-based index `start` (RFC 7644 section 3.4.2.4)."""
        clause, values = "", {}
        if where:
            clause, values = f" WHERE {_column(kind, where[0])} = :value", {"value": where[1]}
        table = _TABLES[kind]
        with self._database.read() as connection:
            total = connection.execute(text(f"SELECT count(*) FROM {table}{clause}"), values).scalar_one()  # noqa: S608
            query = f"SELECT * FROM {table}{clause} ORDER BY created, id LIMIT :count OFFSET :skip"  # noqa: S608
            rows = connection.execute(text(query), {**values, "count": count, "skip": start - 1}).mappings()
            return int(total), [_record(kind, row) for row in rows]

    def insert(self, record: R) -> R:
        moment = now()
        record = replace(record, id=record.id or new_id(), created=moment, modified=moment)
        kind = type(record)
        names = _COLUMNS[kind]
        marks = ", ".join(f":{name}" for name in names)
        statement = f"INSERT INTO {_TABLES[kind]} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
        try:
            with self._database.begin() as connection:
                _check_tenant(connection, record)
                connection.execute(text(statement), _row(record))
        except IntegrityError as error:
            raise _taken(record) from error
        return record

    def update(self, record: R, expected: int) -> R:
        """Replace a record that is still at version `expected`."""
        kind = type(record)
        changed = replace(record, version=expected + 1, modified=now())
        parts = ", ".join(f"{name} = :{name}" for name in _COLUMNS[kind] if name not in {"id", "created"})
        statement = f"UPDATE {_TABLES[kind]} SET {parts} WHERE id = :id AND version = :expected"  # noqa: S608
        try:
            with self._database.begin() as connection:
                before = _find(connection, kind, "id", record.id)
                if before is None:
                    raise NotFound(f"{record.id} is gone")
                _check_tenant(connection, changed)
                if connection.execute(text(statement), {**_row(changed), "expected": expected}).rowcount != 1:
                    raise Stale("it was changed meanwhile: read it again and repeat the change")
                _check_administrator_left(connection)
                _end_what_it_held(connection, before, changed)
        except IntegrityError as error:
            raise _taken(record) from error
        return changed

    def delete(self, kind: type[Record], record_id: str, expected: int | None) -> None:
        with self._database.begin() as connection:
            record = _find(connection, kind, "id", record_id)
            if record is None:
                raise NotFound(f"{record_id} does not exist")
            if expected is not None and record.version != expected:
                raise Stale("it was changed meanwhile: read it again before you delete it")
            if isinstance(record, Tenant):
                _check_unused(connection, record)
            connection.execute(text(f"DELETE FROM {_TABLES[kind]} WHERE id = :id"), {"id": record_id})  # noqa: S608
            _check_administrator_left(connection)
            _end_what_it_held(connection, record, None)

    def end_user(self, user_id: str) -> None:
        """End all sessions and grants of a user."""
        with self._database.begin() as connection:
            _end_user(connection, user_id)


def _column(kind: type[Record], name: str) -> str:
    if name not in _COLUMNS[kind]:
        raise ValueError(f"{_TABLES[kind]} has no column {name}")
    return name


def _find(connection: Connection, kind: type[R], column: str, value: str) -> R | None:
    query = f"SELECT * FROM {_TABLES[kind]} WHERE {_column(kind, column)} = :value"  # noqa: S608
    row = connection.execute(text(query), {"value": value}).mappings().first()
    return None if row is None else _record(kind, row)


def _record(kind: type[R], row: Any) -> R:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name in _COLUMNS[kind]:
        value = row[name]
        if name in _LISTS:
            value = tuple(json.loads(value))
        elif hints[name] is bool:
            value = bool(value)
        values[name] = value
    return kind(**values)


def _row(record: Record) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _COLUMNS[type(record)]}
    return {
        name: json.dumps(value) if name in _LISTS else int(value) if isinstance(value, bool) else value
        for name, value in values.items()
    }


def _taken(record: Record) -> NotUnique:
    name = getattr(record, "user_name", None) or getattr(record, "client_id", None) or getattr(record, "name", "")
    return NotUnique(f"{name!r} is taken: choose another name, or change the one that exists")


def _check_tenant(connection: Connection, record: Record) -> None:
    tenant = getattr(record, "tenant", None)
    if tenant is not None and _find(connection, Tenant, "name", tenant) is None:
        raise UnknownTenant(f"there is no tenant {tenant!r}: create it first")


def _check_unused(connection: Connection, tenant: Tenant) -> None:
    for table, what in (("users", "user"), ("programs", "program")):
        query = f"SELECT count(*) FROM {table} WHERE tenant = :name"  # noqa: S608
        if number := connection.execute(text(query), {"name": tenant.name}).scalar_one():
            raise InUse(f"tenant {tenant.name!r} has {number} {what}(s): delete them first")


def _check_administrator_left(connection: Connection) -> None:
    """Without an administrator who can log in, nobody could ever make one again."""
    rows = connection.execute(text("SELECT roles FROM users WHERE active = 1 AND password IS NOT NULL"))
    if not any(ADMIN in json.loads(row[0]) for row in rows):
        raise InUse("this is the last active administrator: make another one first")


def _end_what_it_held(connection: Connection, before: Record, after: Record | None) -> None:
    """Deleted, disabled, or a new password: refresh tokens and sessions end in the same transaction."""
    if isinstance(before, User) and (
        not isinstance(after, User) or not after.active or after.password != before.password
    ):
        _end_user(connection, before.id)
    if isinstance(before, Program) and (not isinstance(after, Program) or not after.active):
        connection.execute(
            text("UPDATE grants SET revoked = :now WHERE client_id = :client AND revoked IS NULL"),
            {"now": now(), "client": before.client_id},
        )


def _end_user(connection: Connection, user_id: str) -> None:
    connection.execute(
        text("UPDATE grants SET revoked = :now WHERE user_id = :user AND revoked IS NULL"),
        {"now": now(), "user": user_id},
    )
    connection.execute(text("DELETE FROM sessions WHERE user_id = :user"), {"user": user_id})

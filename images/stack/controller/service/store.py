"""Allocations on disk: they outlive the controller, and are committed with one transaction."""

from __future__ import annotations

import sqlalchemy as sa
from stackkit.database import Database

from controller.service.allocation import Allocations, Key

#: For the list of migrations of the controller's database: append-only, as all of them.
MIGRATION = """
CREATE TABLE allocation (
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    owner TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (kind, scope, owner)
);
-- Never two at once, whatever a program believes; several sites may have one home.
CREATE UNIQUE INDEX allocation_number ON allocation (kind, scope, number) WHERE kind <> 'home';
"""
_TABLE = sa.table(
    "allocation", sa.column("kind"), sa.column("scope"), sa.column("owner"), sa.column("number", sa.BigInteger)
)


class AllocationStore:
    """The table of numbers in the controller's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given: Allocations | None = None

    def load(self) -> Allocations:
        """What is given; the same object until something else is."""
        if self._given is None:
            with self._database.read() as connection:
                self._given = Allocations(_rows(connection))
        return self._given

    def save(self, allocations: Allocations, connection: sa.Connection | None = None) -> None:
        """Make this all that is given; on disk when this returns, or with the caller's transaction.

        Freed numbers go first, so that one may pass to another owner in the same step.
        """
        if connection is None:
            with self._database.begin() as own:
                self.save(allocations, own)
            self._given = allocations
            return
        self._given = None  # whether the caller's transaction holds is not known here
        before, after = _rows(connection), allocations.table
        for key, number in before.items():
            if after.get(key) != number:
                kind, scope, owner = key
                where = (_TABLE.c.kind == kind) & (_TABLE.c.scope == scope) & (_TABLE.c.owner == owner)
                connection.execute(sa.delete(_TABLE).where(where))
        rows = [
            {"kind": key[0], "scope": key[1], "owner": key[2], "number": number}
            for key, number in after.items()
            if before.get(key) != number
        ]
        if rows:
            connection.execute(sa.insert(_TABLE), rows)


def _rows(connection: sa.Connection) -> dict[Key, int]:
    return {(row.kind, row.scope, row.owner): row.number for row in connection.execute(sa.select(_TABLE))}

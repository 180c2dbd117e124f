"""What has ended is kept for good, and nothing that an order asks is looked for among all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from gro import store
from stackkit.database import Database

STATEMENTS = {
    "of an order": lambda c: store.services_by(c, store.services.c.added_by, "order"),
    "ended by an order": lambda c: store.services_by(c, store.services.c.removed_by, "order"),
    "in the network": lambda c: store.in_network(c, "acme"),
    "alive": lambda c: store.alive(c, "acme"),
    "ending": lambda c: store.ending(c, "acme"),
    "sites in use": lambda c: store.drop_unused_sites(c, "acme"),
}


@pytest.mark.parametrize("what", STATEMENTS)
def test_services_are_found_by_an_index_that_leaves_out_the_ended(what: str, tmp_path: Path) -> None:
    database = Database(tmp_path / "gro.sqlite", store.MIGRATIONS)
    asked: list[tuple[str, object]] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        asked.append((statement, parameters))

    with database.begin() as connection:
        STATEMENTS[what](connection)
        plans = [
            str(row[3])
            for statement, parameters in list(asked)
            if "FROM service " in " ".join(statement.split()) + " "
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    database.close()
    found = [plan for plan in plans if "service" in plan.split() or "service" in plan]
    assert found
    for plan in found:
        assert "USING INDEX service_" in plan, plan
        assert "(tenant=?)" not in plan, plan

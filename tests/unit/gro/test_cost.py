"""What an order asks of the database: on one processor that is most of what it costs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

ITEM = {
    "id": "1",
    "action": "add",
    "service": {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [
            {"name": "site", "value": {"name": "a", "device": "S1", "access": "routed", "gateway": "10.1.0.1/24"}}
        ],
    },
}
MOST = 150
"""Statements of an order: it took 202, each several times as long as the disk."""


async def test_an_order_asks_for_no_more_than_it_needs(gro: Any) -> None:
    asked: list[str] = []
    for engine in (gro.desk.database.engine, gro.desk.database._reader):

        @sa.event.listens_for(engine, "before_cursor_execute")
        def note(_connection, _cursor, statement, _parameters, _context, _many) -> None:
            asked.append(statement)

    done = await gro.finished(await gro.order(ITEM))
    assert done["state"] == "completed"
    assert len(asked) < MOST
    asked.clear()
    service = done["serviceOrderItem"][0]["service"]["id"]
    ended = await gro.finished(await gro.order({"id": "1", "action": "delete", "service": {"id": service}}))
    assert ended["state"] == "completed"
    assert len(asked) < MOST

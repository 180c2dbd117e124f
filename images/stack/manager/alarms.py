"""Alarms by RFC 8632: kept in the database, shown as ``ietf-alarms``, written to the log."""

from __future__ import annotations

import logging
from typing import Any

import sqlalchemy as sa
from stackkit.database import Database

from manager.store import Row, stamp

log = logging.getLogger(__name__)

MODULE = "elasticlab-devices"
#: Strangers choose addresses and serial numbers: of alarms that concern no registered device the newest stay.
STRANGERS_KEPT = 200

SEVERITY = {
    "unknown-device": "warning",
    "foreign-certificate": "warning",
    "wrong-device-key": "major",
    "quarantined-device": "minor",
    "revoked-device": "major",
    "copied-device-key": "critical",
}


def device(serial: str) -> str:
    """The resource of an alarm: the registry's entry (RFC 8632, section 3.2.1)."""
    return f"/elasticlab-devices:devices/device[serial='{serial}']"


class Alarms:
    """The alarm list."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def raise_(self, kind: str, resource: str, text: str, connection: sa.Connection | None = None) -> None:
        """An alarm is active; once again if it was already."""
        log.warning("alarm %s", kind, extra={"alarm": kind, "resource": resource, "text": text})
        if connection is not None:
            self._raise(connection, kind, resource, text)
            return
        with self._database.begin() as own:
            self._raise(own, kind, resource, text)

    def _raise(self, connection: sa.Connection, kind: str, resource: str, text: str) -> None:
        now = stamp()
        values = {"resource": resource, "type": kind, "severity": SEVERITY[kind], "text": text, "now": now}
        connection.execute(
            sa.text(
                "INSERT INTO alarm (resource, type, severity, text, created, raised, changed, cleared)"
                " VALUES (:resource, :type, :severity, :text, :now, :now, :now, 0) ON CONFLICT (resource, type)"
                " DO UPDATE SET severity = :severity, text = :text, raised = :now, changed = :now, cleared = 0"
            ),
            values,
        )
        connection.execute(
            sa.text(
                "DELETE FROM alarm WHERE type IN ('unknown-device', 'foreign-certificate') AND (resource, type) NOT IN"
                " (SELECT resource, type FROM alarm WHERE type IN ('unknown-device', 'foreign-certificate')"
                " ORDER BY changed DESC LIMIT :kept)"
            ),
            {"kept": STRANGERS_KEPT},
        )

    def clear(self, connection: sa.Connection, resource: str) -> None:
        """What was wrong with the resource is over."""
        connection.execute(
            sa.text("UPDATE alarm SET cleared = 1, changed = :now WHERE resource = :resource AND cleared = 0"),
            {"now": stamp(), "resource": resource},
        )

    def tree(self) -> dict[str, Any]:
        """The alarm list as ``ietf-alarms``."""
        with self._database.read() as connection:
            rows = list(connection.execute(sa.text("SELECT * FROM alarm ORDER BY created")).all())
        changed = max((row.changed for row in rows), default=None)
        alarm_list: dict[str, Any] = {"number-of-alarms": len(rows), "alarm": [_entry(row) for row in rows]}
        if changed is not None:
            alarm_list["last-changed"] = changed
        return {"ietf-alarms:alarms": {"alarm-list": alarm_list}}


def _entry(row: Row) -> dict[str, Any]:
    return {
        "resource": row.resource,
        "alarm-type-id": f"{MODULE}:{row.type}",
        "alarm-type-qualifier": "",
        "time-created": row.created,
        "is-cleared": bool(row.cleared),
        "last-raised": row.raised,
        "last-changed": row.changed,
        "perceived-severity": row.severity,
        "alarm-text": row.text,
    }

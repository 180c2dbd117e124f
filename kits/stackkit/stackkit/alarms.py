"""An alarm list by RFC 8632, kept in the component's database, shown as `ietf-alarms`, written to the log."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from stackkit.database import Database

log = logging.getLogger(__name__)

MIGRATION: Final = """
CREATE TABLE alarm (
    resource VARCHAR(512) NOT NULL, type VARCHAR(64) NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL,
    created TEXT NOT NULL, raised TEXT NOT NULL, changed TEXT NOT NULL, cleared INTEGER NOT NULL,
    PRIMARY KEY (resource, type)
);
"""
"""For a component's list of migrations."""


@dataclass(frozen=True)
class Raise:
    """An alarm is active; once again if it was already."""

    kind: str
    resource: str
    text: str


@dataclass(frozen=True)
class Clear:
    """What was wrong with the resource is over: all of it, or these kinds."""

    resource: str
    kinds: tuple[str, ...] | None = None


class Alarms:
    """The alarm list of a component. Writes wait for the disk: call them from a thread."""

    def __init__(
        self,
        database: Database,
        module: str,
        severities: Mapping[str, str],
        strangers: Collection[str] = (),
        strangers_kept: int = 200,
    ) -> None:
        """Args:
        module: the YANG module that has the identities of the alarm types.
        severities: the perceived severity of each alarm type.
        strangers: types whose resources are chosen by whoever knocks: only the newest of these are kept.
        """
        self._database, self._module, self._severities = database, module, dict(severities)
        self._strangers, self._kept = list(strangers), strangers_kept

    def take(self, words: Iterable[Raise | Clear]) -> None:
        """Several, in their order, that wait for the disk once; nothing is asked about resources without an alarm."""
        with self._database.begin() as connection:
            active = set(connection.scalars(sa.text("SELECT resource FROM alarm WHERE cleared = 0")))
            for word in words:
                if isinstance(word, Raise):
                    self.raise_(word.kind, word.resource, word.text, connection)
                    active.add(word.resource)
                elif word.resource in active:
                    self.clear(word.resource, word.kinds, connection)

    def raise_(self, kind: str, resource: str, text: str, connection: sa.Connection | None = None) -> None:
        """An alarm is active; once again if it was already."""
        log.warning("alarm %s", kind, extra={"alarm": kind, "resource": resource, "text": text})
        if connection is not None:
            self._raise(connection, kind, resource, text)
            return
        with self._database.begin() as own:
            self._raise(own, kind, resource, text)

    def _raise(self, connection: sa.Connection, kind: str, resource: str, text: str) -> None:
        severity = self._severities[kind]
        values = {"resource": resource, "type": kind, "severity": severity, "text": text, "now": _now()}
        connection.execute(
            sa.text(
                "INSERT INTO alarm (resource, type, severity, text, created, raised, changed, cleared)"
                " VALUES (:resource, :type, :severity, :text, :now, :now, :now, 0) ON CONFLICT (resource, type)"
                " DO UPDATE SET severity = :severity, text = :text, raised = :now, changed = :now, cleared = 0"
            ),
            values,
        )
        if kind in self._strangers:
            forget = sa.text(
                "DELETE FROM alarm WHERE type IN :types AND (resource, type) NOT IN"
                " (SELECT resource, type FROM alarm WHERE type IN :types ORDER BY changed DESC LIMIT :kept)"
            ).bindparams(sa.bindparam("types", expanding=True))
            connection.execute(forget, {"types": self._strangers, "kept": self._kept})

    def clear(
        self, resource: str, kinds: Collection[str] | None = None, connection: sa.Connection | None = None
    ) -> int:
        """What was wrong with the resource is over (all of it, or these kinds); how many alarms that were."""
        if connection is None:
            with self._database.begin() as own:
                return self.clear(resource, kinds, own)
        statement = "UPDATE alarm SET cleared = 1, changed = :now WHERE resource = :resource AND cleared = 0"
        values: dict[str, Any] = {"now": _now(), "resource": resource}
        if kinds is None:
            return connection.execute(sa.text(statement), values).rowcount
        only = sa.text(f"{statement} AND type IN :types").bindparams(sa.bindparam("types", expanding=True))
        return connection.execute(only, values | {"types": list(kinds)}).rowcount

    def tree(self) -> dict[str, Any]:
        """The alarm list as `ietf-alarms` (RFC 7951)."""
        with self._database.read() as connection:
            rows = list(connection.execute(sa.text("SELECT * FROM alarm ORDER BY created")).all())
        changed = max((row.changed for row in rows), default=None)
        alarm_list: dict[str, Any] = {
            "number-of-alarms": len(rows),
            "alarm": [_entry(self._module, row) for row in rows],
        }
        if changed is not None:
            alarm_list["last-changed"] = changed
        return {"ietf-alarms:alarms": {"alarm-list": alarm_list}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(module: str, row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "resource": row.resource,
        "alarm-type-id": f"{module}:{row.type}",
        "alarm-type-qualifier": "",
        "time-created": row.created,
        "is-cleared": bool(row.cleared),
        "last-raised": row.raised,
        "last-changed": row.changed,
        "perceived-severity": row.severity,
        "alarm-text": row.text,
    }

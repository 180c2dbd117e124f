"""Orders that were planned and not yet, or already, placed: each is placed once, however often its form is sent.

A plan's id is the form's one-time token. The order carries it as `externalId` (TMF641), so that a portal that was
killed between sending and noting finds out at GRO whether the order had arrived.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import text
from stackkit.database import Database

from . import secrecy
from .desk import ORDERING, Service
from .sessions import Session, now

Json = Any

MOST = 100
"""Plans that a session keeps; older ones go."""


@dataclass(frozen=True)
class Plan:
    """An order, what it would do (or why that cannot be told now), and the order that came of it."""

    id: str
    body: Json
    edits: Json
    obstacle: str | None
    claimed: int | None
    order_id: str | None


class Plans:
    def __init__(self, database: Database, gro: Service) -> None:
        self._database = database
        self._gro = gro
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def keep(self, session: Session, body: Json, edits: Json, obstacle: str | None) -> str:
        """Returns the id of the plan, which is good in this session only."""
        plan = secrets.token_urlsafe(24)
        content = json.dumps({"body": body, "edits": edits, "obstacle": obstacle})
        # An order may hold a secret; who copies the database shall not have it.
        sealed = secrecy.seal(session.secret, content.encode())
        with self._database.begin() as connection:
            query = "INSERT INTO plans VALUES (:id, :session, :made, :content, NULL, NULL)"
            values = {"id": plan, "session": session.id, "made": time.time_ns(), "content": sealed}
            connection.execute(text(query), values)
            surplus = "SELECT made FROM plans WHERE session = :session ORDER BY made DESC LIMIT 1 OFFSET :most"
            old = f"DELETE FROM plans WHERE session = :session AND made <= ({surplus})"  # noqa: S608 - no input in it
            connection.execute(text(old), {"session": session.id, "most": MOST})
        return plan

    def get(self, session: Session, plan: str) -> Plan | None:
        query = "SELECT id, content, claimed, order_id FROM plans WHERE id = :id AND session = :session"
        with self._database.read() as connection:
            row = connection.execute(text(query), {"id": plan, "session": session.id}).mappings().first()
        if row is None:
            return None
        try:
            content = json.loads(secrecy.unseal(session.secret, row["content"]))
        except ValueError:  # of a portal that did not seal
            return None
        return Plan(row["id"], **content, claimed=row["claimed"], order_id=row["order_id"])

    async def place(self, session: Session, id_: str) -> str | None:
        """Place the plan's order unless it has been placed; the order's id. None: there is no such plan."""
        lock = self._locks.setdefault(id_, asyncio.Lock())
        async with lock:
            plan = self.get(session, id_)
            if plan is None:
                return None
            if plan.order_id is not None:
                return plan.order_id
            external = f"portal-{plan.id}"
            order = await self._lost(session, external) if plan.claimed is not None else None
            if order is None:
                # On disk before anything leaves: whoever comes after a crash looks for it first.
                self._set(plan.id, "claimed", now())
                answer = await self._gro.ask(
                    session, "POST", f"{ORDERING}/serviceOrder", {**plan.body, "externalId": external}
                )
                order = str(answer.json()["id"])
            self._set(plan.id, "order_id", order)
            return order

    async def _lost(self, session: Session, external: str) -> str | None:
        """The order of an attempt whose end nobody knows."""
        query = {"externalId": external, "fields": "id"}
        found = await self._gro.get(session, f"{ORDERING}/serviceOrder", query)
        return str(found[0]["id"]) if found else None

    def _set(self, plan: str, column: str, value: int | str) -> None:
        with self._database.begin() as connection:
            query = f"UPDATE plans SET {column} = :value WHERE id = :id"  # noqa: S608 - names of ours
            connection.execute(text(query), {"value": value, "id": plan})

"""Event notifications: RFC 5277 (one stream, no replay) with the events of RFC 6470."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lxml import etree

from yangkit import diff, filters, treejson, treexml
from yangkit.confirmed import Event
from yangkit.datastores import Changed
from yangkit.errors import RpcError
from yangkit.paths import Path
from yangkit.schema import Schema
from yangkit.tree import Container
from yangkit.xmlutil import NOTIFICATION

if TYPE_CHECKING:
    from yangkit.session import Session

log = logging.getLogger(__name__)
_MODULE = "ietf-netconf-notifications"
_MAX_EDITS = 256


@dataclass(frozen=True)
class Told:
    """One event: when it was, its name, and the notification in a tree."""

    time: str
    module: str
    name: str
    tree: Container


class Notifications:
    """Who listens, and what is told."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._listeners: dict[Session, etree._Element | None] = {}
        #: Whoever else wants events, as RESTCONF's streams do; they look after rights themselves.
        self.watchers: set[Callable[[Told], None]] = set()

    def subscribe(self, session: Session, element: etree._Element | None) -> None:
        """A session wants the events that a filter lets through (RFC 5277, section 2.1.1)."""
        if session in self._listeners:
            raise RpcError("in-use", "the session has a subscription already", type="protocol")
        self._listeners[session] = element

    def forget(self, session: Session) -> None:
        """A session ends."""
        self._listeners.pop(session, None)

    def publish(self, name: str, content: dict[str, Any]) -> None:
        """Tell an event: its qualified name and what its notification holds. It never fails for whoever tells."""
        if not self._listeners and not self.watchers:
            return
        try:
            tree = treejson.load(self._schema, {name: content})
        except RpcError:
            log.exception("the notification %s does not fit its schema", name)
            return
        module, _, local = name.partition(":")
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><notification xmlns="{NOTIFICATION}">'
            f"<eventTime>{moment}</eventTime>{treexml.dump(tree)}</notification>"
        ).encode()
        for session, element in list(self._listeners.items()):
            if session.access().may_notify(module, local) and _wanted(tree, element):
                session.notify(text)
        for watcher in list(self.watchers):
            watcher(Told(moment, module, local, tree))

    # -- events of RFC 6470 ------------------------------------------------------------------------------------------

    def changed(self, change: Changed) -> None:
        """Running has changed."""
        if not self._listeners and not self.watchers:
            return
        edits: list[dict[str, str]] = []
        for operation, path in diff.changes(change.old, change.new, deep=False):
            if len(edits) == _MAX_EDITS:
                break
            edits.append({"target": _instance_identifier(path), "operation": _OPERATIONS[operation]})
        who = _by(change.user, change.session)
        self.publish(f"{_MODULE}:netconf-config-change", {"changed-by": who, "datastore": "running", "edit": edits})

    def session_started(self, session: Session) -> None:
        """A session has begun."""
        self.publish(f"{_MODULE}:netconf-session-start", _common(session))

    def session_ended(self, session: Session, reason: str, killed_by: int | None) -> None:
        """A session has ended."""
        content: dict[str, Any] = _common(session)
        if killed_by is not None:
            content["killed-by"] = killed_by
        content["termination-reason"] = reason
        self.publish(f"{_MODULE}:netconf-session-end", content)

    def confirmed_commit(self, event: Event, session: int, user: str | None, seconds: int) -> None:
        """A confirmed commit takes a step."""
        content: dict[str, Any] = _by(user, session) if event not in ("timeout",) else {}
        content["confirm-event"] = event
        if event in ("start", "extend"):
            content["timeout"] = seconds
        self.publish(f"{_MODULE}:netconf-confirmed-commit", content)


_OPERATIONS = {"create": "create", "delete": "delete", "update": "replace", "move": "merge"}


def _instance_identifier(path: Path) -> str:
    return path.xpath()[0]


def _common(session: Session) -> dict[str, Any]:
    return {"username": session.user, "session-id": session.id, "source-host": session.peer.host}


def _by(user: str | None, session: int) -> dict[str, Any]:
    return {"username": user, "session-id": session} if user is not None else {"server": [None]}


def _wanted(tree: Container, element: etree._Element | None) -> bool:
    return element is None or bool(filters.select(tree, element).children)

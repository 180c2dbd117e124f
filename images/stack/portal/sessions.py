"""Log-ins under way and sessions, in the portal's own database."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import text
from stackkit.database import Database

from . import secrecy

LOGIN_SECONDS = 600
MOST_LOGINS = 10_000
"""More than these under way are not kept, the oldest go first."""
RENEW_AT = 0.8
"""A token is renewed after this part of its life: what is left is for requests on the way and for slow clocks."""

USED_STEP = 10
"""The time of the last use is that exact: not every click is worth a write that waits for the disk."""


def now() -> int:
    return int(time.time())


@dataclass(frozen=True)
class Person:
    """Who is logged in, as identity says; rights are decided by those who check the token, never by this."""

    subject: str
    user_name: str
    name: str
    tenant: str | None
    roles: tuple[str, ...]

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


@dataclass(frozen=True, repr=False)
class Tokens:
    """What identity gave for one person."""

    access: str
    refresh: str
    identity: str
    lifetime: int


@dataclass(frozen=True, repr=False)
class Session:
    """A log-in of one browser; `secret` is its cookie's value."""

    secret: str
    person: Person
    tokens: Tokens
    renew: int
    checked: int

    @property
    def id(self) -> str:
        return secrecy.name_of(self.secret)

    @property
    def form_token(self) -> str:
        return secrecy.form_token(self.secret)


@dataclass(frozen=True)
class Login:
    """An authorization request whose answer is awaited (RFC 6749 section 4.1.1)."""

    nonce: str
    verifier: str
    target: str


class Sessions:
    def __init__(self, database: Database, idle: int, absolute: int) -> None:
        self._database = database
        self._idle = idle
        self._absolute = absolute

    def begin_login(self, browser: str, state: str, login: Login) -> None:
        row = {"state": secrecy.name_of(state), "browser": secrecy.name_of(browser), **asdict(login)}
        with self._database.begin() as connection:
            query = "INSERT INTO logins VALUES (:state, :browser, :nonce, :verifier, :target, :expires)"
            connection.execute(text(query), {**row, "expires": now() + LOGIN_SECONDS})
            # Anybody may begin a log-in: what nobody ends must not fill the disk.
            surplus = "SELECT expires FROM logins ORDER BY expires DESC LIMIT 1 OFFSET :most"
            old = f"DELETE FROM logins WHERE expires <= :now OR expires < ({surplus})"  # noqa: S608 - no input in it
            connection.execute(text(old), {"now": now(), "most": MOST_LOGINS})

    def take_login(self, browser: str, state: str) -> Login | None:
        """The log-in that this browser began with this state; good once."""
        query = """DELETE FROM logins WHERE state = :state AND browser = :browser AND expires > :now
            RETURNING nonce, verifier, target"""
        values = {"state": secrecy.name_of(state), "browser": secrecy.name_of(browser), "now": now()}
        with self._database.begin() as connection:
            row = connection.execute(text(query), values).mappings().first()
        return None if row is None else Login(**row)

    def open(self, person: Person, tokens: Tokens) -> Session:
        """A new session with a new secret: a cookie that was planted before the log-in is worth nothing."""
        at = now()
        session = Session(secrecy.new_secret(), person, tokens, _renewal(at, tokens), at)
        with self._database.begin() as connection:
            ended = "DELETE FROM sessions WHERE used <= :idle OR created <= :absolute"
            connection.execute(text(ended), {"idle": at - self._idle, "absolute": at - self._absolute})
            query = "INSERT INTO sessions VALUES (:id, :now, :now, :renew, :checked, :person, :sealed)"
            connection.execute(text(query), {**_row(session), "now": at})
        return session

    def get(self, secret: str | None, *, use: bool = True) -> Session | None:
        """The session of a cookie, if it holds still; `use` says that a person did something (no timer did)."""
        if not secret:
            return None
        at = now()
        values = {"id": secrecy.name_of(secret), "idle": at - self._idle, "absolute": at - self._absolute}
        query = """SELECT used, renew, checked, person, sealed FROM sessions
            WHERE id = :id AND used > :idle AND created > :absolute"""
        with self._database.read() as connection:
            row = connection.execute(text(query), values).mappings().first()
        if row is None:
            return None
        if use:
            with self._database.begin() as connection:
                connection.execute(
                    text("UPDATE sessions SET used = :at WHERE id = :id"), {"at": at, "id": values["id"]}
                )
        person = json.loads(row["person"])
        person = Person(**{**person, "roles": tuple(person["roles"])})
        tokens = Tokens(**json.loads(secrecy.unseal(secret, row["sealed"])))
        return Session(secret, person, tokens, row["renew"], row["checked"])

    def renew(self, session: Session, person: Person, tokens: Tokens) -> Session:
        """The same session with new tokens."""
        at = now()
        renewed = replace(session, person=person, tokens=tokens, renew=_renewal(at, tokens), checked=at)
        query = (
            "UPDATE sessions SET renew = :renew, checked = :checked, person = :person, sealed = :sealed WHERE id = :id"
        )
        with self._database.begin() as connection:
            connection.execute(text(query), _row(renewed))
        return renewed

    def confirm(self, session: Session) -> Session:
        """Identity has just said that the session's token is good."""
        confirmed = replace(session, checked=now())
        with self._database.begin() as connection:
            values = {"id": session.id, "checked": confirmed.checked}
            connection.execute(text("UPDATE sessions SET checked = :checked WHERE id = :id"), values)
        return confirmed

    def close(self, session: Session) -> None:
        with self._database.begin() as connection:
            connection.execute(text("DELETE FROM sessions WHERE id = :id"), {"id": session.id})


def _renewal(at: int, tokens: Tokens) -> int:
    return at + int(tokens.lifetime * RENEW_AT)


def _row(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "renew": session.renew,
        "checked": session.checked,
        "person": json.dumps(asdict(session.person)),
        "sealed": secrecy.seal(session.secret, json.dumps(asdict(session.tokens)).encode()),
    }

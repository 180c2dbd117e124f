"""Brute force: after a few failures every further try must wait, twice as long each time, kept across restarts.

Counted are the account (few tries from anywhere), and the address (many accounts from one place). A right password is
not looked at while the account waits, so guessing gains nothing by speed; the wait ends by itself, so an account
cannot be shut for good by a stranger.
"""

from __future__ import annotations

from sqlalchemy import Connection, text
from stackkit.database import Database

from .schema import now

ACCOUNT_FREE = 5
ADDRESS_FREE = 20
LONGEST_WAIT = 60
FORGET_AFTER = 3600


class Attempts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def wait(self, account: str, address: str) -> int:
        """Seconds that this account or address must wait; 0 if it may try now."""
        query = "SELECT max(blocked_until) FROM attempts WHERE subject IN (:account, :address)"
        with self._database.read() as connection:
            until = connection.execute(text(query), _subjects(account, address)).scalar_one()
        return max(0, int(until or 0) - now())

    def admit(self, account: str, address: str) -> int:
        """Seconds to wait; 0 if it may try now, and then the try already counts as failed.

        Counting first keeps many tries at once from slipping through between the question and the answer."""
        with self._database.begin() as connection:
            query = "SELECT max(blocked_until) FROM attempts WHERE subject IN (:account, :address)"
            until = connection.execute(text(query), _subjects(account, address)).scalar_one()
            if until and int(until) > now():
                return int(until) - now()
            _count(connection, account, address)
            return 0

    def failed(self, account: str, address: str) -> None:
        with self._database.begin() as connection:
            _count(connection, account, address)

    def succeeded(self, account: str, address: str) -> None:
        """The account is forgiven. The address gets back this one try: with all of them, an attacker who has an
        account could start anew."""
        if not self._known(account, address):
            return
        with self._database.begin() as connection:
            names = _subjects(account, address)
            connection.execute(text("DELETE FROM attempts WHERE subject = :account"), {"account": names["account"]})
            query = text("UPDATE attempts SET failures = failures - 1 WHERE subject = :address AND failures > 0")
            connection.execute(query, {"address": names["address"]})

    def _known(self, account: str, address: str) -> bool:
        with self._database.read() as connection:
            query = text("SELECT 1 FROM attempts WHERE subject = :account")
            return connection.execute(query, {"account": _subjects(account, address)["account"]}).first() is not None


def _count(connection: Connection, account: str, address: str) -> None:
    names = _subjects(account, address)
    connection.execute(text("DELETE FROM attempts WHERE last < :old"), {"old": now() - FORGET_AFTER})
    for subject, free in ((names["account"], ACCOUNT_FREE), (names["address"], ADDRESS_FREE)):
        query = text("SELECT failures FROM attempts WHERE subject = :subject")
        failures = int(connection.execute(query, {"subject": subject}).scalar() or 0) + 1
        wait = 0 if failures < free else min(LONGEST_WAIT, 2 ** min(failures - free, 10))
        connection.execute(
            text(
                "INSERT INTO attempts VALUES (:subject, :failures, :last, :until) ON CONFLICT (subject) DO UPDATE"
                " SET failures = excluded.failures, last = excluded.last, blocked_until = excluded.blocked_until"
            ),
            # A second more: the clock gives whole ones, and a wait must never be shorter than it says.
            {"subject": subject, "failures": failures, "last": now(), "until": now() + wait + 1 if wait else 0},
        )


def _subjects(account: str, address: str) -> dict[str, str]:
    return {"account": f"account {account}", "address": f"address {address}"}

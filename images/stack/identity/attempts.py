"""Brute force: after a few failures every further try must wait, twice as long each time, kept across restarts.

Counted are the account (few tries from anywhere) and the address (many accounts from one place). A right password is
not looked at while the account waits, so guessing gains nothing by speed; the wait ends by itself, so an account
cannot be shut for good by a stranger (NIST SP 800-63B, section 5.2.2; RFC 6819, section 4.4.3.6).

What is being looked at counts as failed until it is known, or many guesses at once would slip through. It is no reason
to refuse another, though: who comes when no try is left until the others are decided waits for them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, text
from stackkit.database import Database

from .schema import now

ACCOUNT_FREE = 5
ADDRESS_FREE = 20
LONGEST_WAIT = 60
FORGET_AFTER = 3600
PATIENCE = 15.0
"""Seconds for which others are waited for: on a slow box a hundred passwords take about as long."""


@dataclass(frozen=True)
class Subject:
    """Whose failures are counted together, and how many there may be before the next must wait."""

    name: str
    free: int


def of_person(account: str, address: str) -> tuple[Subject, ...]:
    """A person's account from anywhere, and all people at an address."""
    return Subject(f"account user {account}", ACCOUNT_FREE), Subject(f"address {address}", ADDRESS_FREE)


def of_program(client: str, address: str) -> tuple[Subject, ...]:
    """A program at an address, so that a stranger elsewhere locks nobody out, and all programs there."""
    own = f"account program {client} from {address}"
    return Subject(own, ACCOUNT_FREE), Subject(f"programs {address}", ADDRESS_FREE)


@dataclass
class Try:
    """`wait`: seconds after which it may be made; 0 if now. It has failed unless somebody says that it is `right`."""

    wait: int = 0
    right: bool = False


class Attempts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._under_way: Counter[str] = Counter()
        self._decided = threading.Condition()

    @contextmanager
    def trying(self, subjects: Sequence[Subject], *, known: bool = False) -> Iterator[Try]:
        """One try, from the question whether it may be made to its outcome. The first subject is the account.

        With `known`, an account that was right within the last hour is not held up by what others at its address did.
        """
        made = Try(self._admit(subjects, known))
        if made.wait:
            yield made
            return
        try:
            yield made
        finally:
            try:  # before it is no longer under way: in between it would count as nothing
                if made.right:
                    self._right(subjects[0], known)
                else:
                    self._wrong(subjects)
            finally:
                with self._decided:
                    self._under_way.subtract(one.name for one in subjects)
                    self._under_way += Counter()  # without those that are none
                    self._decided.notify_all()

    def _admit(self, subjects: Sequence[Subject], known: bool) -> int:
        """Seconds to wait; 0 if it may be made now, and then it is under way."""
        until = time.monotonic() + PATIENCE
        with self._decided:
            while True:
                rows = self._rows(subjects)
                own = rows.get(subjects[0].name)
                holding = subjects[:1] if known and own is not None and not own["failures"] else subjects
                blocked = max((int(rows[one.name]["blocked_until"]) for one in holding if one.name in rows), default=0)
                if blocked > now():
                    return blocked - now()
                if all(self._under_way[one.name] < _left(one, rows) for one in holding):
                    self._under_way.update(one.name for one in subjects)
                    return 0
                if not self._decided.wait(until - time.monotonic()):
                    return 1

    def _rows(self, subjects: Sequence[Subject]) -> dict[str, RowMapping]:
        """What is not forgotten."""
        query = text("SELECT * FROM attempts WHERE subject IN :names AND last >= :old")
        query = query.bindparams(bindparam("names", expanding=True))
        values = {"names": [one.name for one in subjects], "old": now() - FORGET_AFTER}
        with self._database.read() as connection:
            found = connection.execute(query, values).mappings()
            return {str(row["subject"]): row for row in found}

    def _wrong(self, subjects: Sequence[Subject]) -> None:
        with self._database.begin() as connection:
            connection.execute(text("DELETE FROM attempts WHERE last < :old"), {"old": now() - FORGET_AFTER})
            for subject in subjects:
                query = text("SELECT failures FROM attempts WHERE subject = :subject")
                failures = int(connection.execute(query, {"subject": subject.name}).scalar() or 0) + 1
                wait = 0 if failures < subject.free else min(LONGEST_WAIT, 2 ** min(failures - subject.free, 10))
                # A second more: the clock gives whole ones, and a wait must never be shorter than it says.
                _keep(connection, subject.name, failures, now() + wait + 1 if wait else 0)

    def _right(self, account: Subject, known: bool) -> None:
        """The account is forgiven, the address is not: an attacker who has an account could start anew."""
        row = self._rows([account]).get(account.name)
        if known:
            if row is None or row["failures"] or row["last"] < now() - FORGET_AFTER // 2:
                with self._database.begin() as connection:
                    _keep(connection, account.name, 0, 0)
        elif row is not None:
            with self._database.begin() as connection:
                connection.execute(text("DELETE FROM attempts WHERE subject = :name"), {"name": account.name})


def _left(subject: Subject, rows: dict[str, RowMapping]) -> int:
    """Tries that may be under way at once; one, when there are none without a wait and the last wait is over."""
    failures = int(rows[subject.name]["failures"]) if subject.name in rows else 0
    return max(1, subject.free - failures)


def _keep(connection: Connection, subject: str, failures: int, until: int) -> None:
    connection.execute(
        text(
            "INSERT INTO attempts VALUES (:subject, :failures, :last, :until) ON CONFLICT (subject) DO UPDATE"
            " SET failures = excluded.failures, last = excluded.last, blocked_until = excluded.blocked_until"
        ),
        {"subject": subject, "failures": failures, "last": now(), "until": until},
    )

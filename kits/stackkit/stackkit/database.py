"""A component's database: SQLAlchemy Core on SQLite (one file, WAL, every commit on disk) or PostgreSQL, with numbered
migrations.

What `begin()` committed survives a power cut: `synchronous=FULL` makes SQLite wait for the disk at each commit.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

Migration = str | Callable[[sa.Connection], None]

BUSY_SECONDS = 10
CACHE_KIB = 256
"""Of pages, for each connection. SQLite's own 2 MiB fill up over days, as the history does that nobody reads again."""
_VERSIONS = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("applied", sa.String(40), nullable=False),
)
# Any number, as long as all of our processes take the same one.
_MIGRATION_LOCK = 0x656C6173
# What an empty statement consists of.
_NOTHING = re.compile(r"--[^\n]*|/\*.*?\*/|[;\s]", re.S)


class SchemaError(Exception):
    """The database and this program do not fit; the text says why and what to do."""


class Database:
    """A database whose schema is brought up to date when it is opened.

    Args:
        path: SQLite file (made with mode 0600 if it is not there), or a URL `postgresql+psycopg://…`.
        migrations: SQL scripts or functions of a connection. The first makes version 1, and so on: add to the end,
            change none.

    Raises:
        SchemaError: the database was written by a newer program, or a migration was changed after it had run.
    """

    def __init__(self, path: Path | str, migrations: Sequence[Migration] = ()) -> None:
        url = str(path)
        self.sqlite = not url.startswith(("postgresql:", "postgresql+"))
        self.name = url if self.sqlite else sa.make_url(url).render_as_string(hide_password=True)
        if self.sqlite:
            # SQLite gives the -wal and -shm files the mode of the database itself.
            os.close(os.open(url, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.engine = _sqlite_engine(url, read_only=False)
            self._reader = _sqlite_engine(url, read_only=True)
        else:
            self.engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._migrate(migrations)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction that may write: committed at the end of the block, undone by an exception.

        On SQLite it takes the write lock at its start, so that what it has read cannot change before it writes.
        """
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and cannot write."""
        with self._reader.connect() as connection, connection.begin():
            yield connection

    @property
    def version(self) -> int:
        """Number of the last migration that ran."""
        with self.read() as connection:
            return _applied(connection)[0]

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self.engine.dispose()

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self.begin() as connection:
            self._lock(connection)
            _VERSIONS.create(connection, checkfirst=True)
            current, digests = _applied(connection)
        if current > len(migrations):
            raise SchemaError(
                f"{self.name} has schema version {current}, this program knows {len(migrations)}: "
                "start the version that wrote it, or a newer one"
            )
        for number, migration in enumerate(migrations, 1):
            if number > current:
                self._apply(number, migration)
            elif digests[number] != _digest(migration):
                raise SchemaError(
                    f"{self.name}: migration {number} was changed after it had run here; "
                    "restore its text and put the change into a new one"
                )

    def _apply(self, number: int, migration: Migration) -> None:
        """Run one migration and note it, in one transaction: whoever is killed in between leaves neither."""
        with self.begin() as connection:
            self._lock(connection)
            if number <= _applied(connection)[0]:  # another process was first
                return
            if isinstance(migration, str):
                for statement in statements(migration):
                    connection.exec_driver_sql(statement)
            else:
                migration(connection)
            row = {
                "version": number,
                "digest": _digest(migration),
                "applied": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            connection.execute(_VERSIONS.insert(), row)

    def _lock(self, connection: sa.Connection) -> None:
        """One process at a time migrates; SQLite's BEGIN IMMEDIATE says that already."""
        if not self.sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})


def statements(script: str) -> list[str]:
    """The statements of an SQL script. (SQLite's own executescript would commit before it starts.)

    Semicolons in strings, comments and bodies of triggers do not end a statement.
    """
    found, rest = [], ""
    for part in script.split(";"):
        rest += part + ";"
        if sqlite3.complete_statement(rest):
            found.append(rest.strip())
            rest = ""
    # What is left was never finished: SQLite shall say what is wrong with it.
    return [statement for statement in [*found, rest.strip()] if _NOTHING.sub("", statement)]


def _applied(connection: sa.Connection) -> tuple[int, dict[int, str]]:
    digests = {row.version: row.digest for row in connection.execute(sa.select(_VERSIONS))}
    return max(digests, default=0), digests


def _digest(migration: Migration) -> str:
    """What tells a migration from another: a script's text, a function's name."""
    text = migration if isinstance(migration, str) else migration.__qualname__
    return hashlib.sha256(text.encode()).hexdigest()


def _sqlite_engine(path: str, read_only: bool) -> sa.Engine:
    # What is written may be secret: errors, and so logs, have the statement only.
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=path),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # Python's driver would begin transactions by itself, late, and not before DDL; `_begin` does it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = {-CACHE_KIB}",
            f"query_only = {int(read_only)}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine

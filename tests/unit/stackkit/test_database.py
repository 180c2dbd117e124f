"""The database on a real file: migrations once and whole, also when killed; what is refused."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from stackkit import database
from stackkit.database import Database, SchemaError

FIRST = (
    "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT CHECK (y <> ';')); -- a; comment\nINSERT INTO a VALUES (1, 'o;ne');"
)
SECOND = "CREATE TABLE b (x INTEGER REFERENCES a (x))"


def rows(base: Database, text: str) -> list[tuple[object, ...]]:
    with base.read() as connection:
        return [tuple(row) for row in connection.execute(sa.text(text))]


def test_migrations_run_once_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    Database(path, [FIRST]).close()

    def third(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO b VALUES (1)"))

    for _ in range(2):
        base = Database(path, [FIRST, SECOND, third])
        assert base.version == 3
        assert rows(base, "SELECT x, y FROM a") == [(1, "o;ne")]
        assert rows(base, "SELECT x FROM b") == [(1,)]
        base.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pragmas(tmp_path: Path) -> None:
    base = Database(tmp_path / "x.sqlite")
    values = [rows(base, f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 2, 1]


def test_what_is_written_and_read_once_takes_no_memory_for_long(tmp_path: Path) -> None:
    """The history grows for as long as a component lives."""
    base = Database(tmp_path / "x.sqlite", ["CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT)"])
    library = ctypes.CDLL("libsqlite3.so.0")
    library.sqlite3_memory_used.restype = ctypes.c_int64
    before = library.sqlite3_memory_used()
    assert before > 0
    with base.begin() as connection:
        connection.execute(sa.text("INSERT INTO a (y) VALUES (:y)"), [{"y": "y" * 1000} for _ in range(5000)])
    written = library.sqlite3_memory_used() - before
    assert rows(base, "SELECT count(*) FROM a WHERE y LIKE '%z'") == [(0,)]
    held = library.sqlite3_memory_used() - before
    base.close()
    assert written < 512 * 1024
    assert held < 1024 * 1024


def test_failed_migration_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with pytest.raises(sa.exc.OperationalError):
        Database(path, [FIRST, "CREATE TABLE c (x INTEGER); INSERT INTO nowhere VALUES (1);"])
    base = Database(path, [FIRST])
    assert base.version == 1
    assert rows(base, "SELECT name FROM sqlite_master WHERE name = 'c'") == []


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "x.sqlite", [FIRST, SECOND]).close()
    with pytest.raises(SchemaError, match="schema version 2, this program knows 1"):
        Database(tmp_path / "x.sqlite", [FIRST])


def test_changed_migration_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "x.sqlite", [FIRST]).close()
    with pytest.raises(SchemaError, match="migration 1 was changed"):
        Database(tmp_path / "x.sqlite", [FIRST + " "])


def test_begin_is_all_or_nothing(tmp_path: Path) -> None:
    base = Database(tmp_path / "x.sqlite", [FIRST])

    def work() -> None:
        with base.begin() as connection:
            connection.execute(sa.text("INSERT INTO a VALUES (2, 'two')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert len(rows(base, "SELECT * FROM a")) == 1


def test_foreign_keys_hold(tmp_path: Path) -> None:
    base = Database(tmp_path / "x.sqlite", [FIRST, SECOND])
    with pytest.raises(sa.exc.IntegrityError), base.begin() as connection:
        connection.execute(sa.text("INSERT INTO b VALUES (99)"))


def test_an_error_does_not_repeat_what_was_to_be_written(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite", ("CREATE TABLE t (a TEXT UNIQUE)",))
    with pytest.raises(sa.exc.IntegrityError) as caught, database.begin() as connection:  # noqa: PT012
        for _ in range(2):
            connection.execute(sa.text("INSERT INTO t VALUES (:a)"), {"a": "a-secret"})
    assert "a-secret" not in str(caught.value)


def test_read_cannot_write_and_sees_one_state(tmp_path: Path) -> None:
    base = Database(tmp_path / "x.sqlite", [FIRST])
    with pytest.raises(sa.exc.OperationalError), base.read() as connection:
        connection.execute(sa.text("DELETE FROM a"))
    with base.read() as reader:
        assert reader.execute(sa.text("SELECT count(*) FROM a")).scalar() == 1
        with base.begin() as writer:
            writer.execute(sa.text("INSERT INTO a VALUES (2, 'two')"))
        assert reader.execute(sa.text("SELECT count(*) FROM a")).scalar() == 1
    assert len(rows(base, "SELECT * FROM a")) == 2


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    base = Database(tmp_path / "x.sqlite", ["CREATE TABLE n (x INTEGER); INSERT INTO n VALUES (0);"])

    def work() -> None:
        for _ in range(10):
            with base.begin() as connection:  # reads, then writes: lost updates would show
                value = connection.execute(sa.text("SELECT x FROM n")).scalar_one()
                connection.execute(sa.text("UPDATE n SET x = :x"), {"x": value + 1})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(base, "SELECT x FROM n") == [(40,)]


def test_killed_in_a_migration(tmp_path: Path) -> None:
    """kill -9 after a migration's writes, before its commit: the next start finds version 1 and runs it again, once."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import sys, time, sqlalchemy as sa
            from stackkit.database import Database
            def second(connection):
                connection.execute(sa.text("CREATE TABLE b (x INTEGER)"))
                connection.execute(sa.text("INSERT INTO b VALUES (7)"))
                if sys.argv[2] == "hang":
                    print("inside", flush=True)
                    time.sleep(60)
            base = Database(sys.argv[1], ["CREATE TABLE a (x INTEGER)", second])
            with base.read() as connection:
                print(base.version, connection.execute(sa.text("SELECT count(*) FROM b")).scalar())
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(database.__file__).parents[1])}
    command = [sys.executable, str(program), str(tmp_path / "x.sqlite")]
    with subprocess.Popen([*command, "hang"], stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGKILL)
    base = Database(tmp_path / "x.sqlite", ["CREATE TABLE a (x INTEGER)"])
    assert base.version == 1
    base.close()
    done = subprocess.run([*command, "go"], capture_output=True, env=environment, text=True, check=True)
    assert done.stdout == "2 1\n"


def test_statements_keep_strings_comments_and_triggers() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END;"
    script = f"INSERT INTO a VALUES ('x;y'); {trigger}\n-- the end; really\n"
    found = database.statements(script)
    assert [statement.split()[0] for statement in found] == ["INSERT", "CREATE"]
    assert database.statements("SELECT 1") == ["SELECT 1;"]
    assert database.statements(" ;; \n") == []

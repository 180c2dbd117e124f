"""The alarm list: words that are written together come to the same as one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from stackkit import alarms
from stackkit.alarms import Alarms, Clear, Raise
from stackkit.database import Database

WORDS = [
    Raise("down", "/site/a", "no tunnel"),
    Raise("refused", "/site/a", "who is it"),
    Clear("/site/a", ("down",)),
    Raise("down", "/site/b", "no tunnel"),
    Clear("/site/b"),
    Raise("down", "/site/b", "again"),
    Clear("/site/nobody-said-anything-of"),
]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "alarms.sqlite", [alarms.MIGRATION])


def kept(list_: Alarms) -> dict[tuple[str, str], tuple[bool, str]]:
    entries: list[dict[str, Any]] = list_.tree()["ietf-alarms:alarms"]["alarm-list"]["alarm"]
    return {(e["resource"], e["alarm-type-id"]): (e["is-cleared"], e["alarm-text"]) for e in entries}


@pytest.mark.parametrize("at_once", [1, 3, len(WORDS)])
def test_words_hold_in_their_order(database: Database, at_once: int) -> None:
    list_ = Alarms(database, "m", {"down": "major", "refused": "warning"})
    for first in range(0, len(WORDS), at_once):
        list_.take(WORDS[first : first + at_once])
    assert kept(list_) == {
        ("/site/a", "m:down"): (True, "no tunnel"),
        ("/site/a", "m:refused"): (False, "who is it"),
        ("/site/b", "m:down"): (False, "again"),
    }


def test_an_alarm_of_an_earlier_life_is_cleared(database: Database) -> None:
    severities = {"down": "major"}
    Alarms(database, "m", severities).take([Raise("down", "/site/a", "no tunnel")])
    again = Alarms(database, "m", severities)
    again.take([Clear("/site/a")])
    assert kept(again) == {("/site/a", "m:down"): (True, "no tunnel")}


def test_a_word_that_cannot_be_written_takes_those_with_it_back(database: Database) -> None:
    list_ = Alarms(database, "m", {"down": "major"})
    with pytest.raises(KeyError):
        list_.take([Raise("down", "/site/a", "no tunnel"), Raise("nobody knows this kind", "/site/a", "?")])
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM alarm")) == 0

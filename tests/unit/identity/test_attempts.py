"""Brute force: how long a try must wait, whatever the fraction of the second in which it came."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from identity.attempts import ACCOUNT_FREE, Attempts
from identity.schema import MIGRATIONS
from stackkit.database import Database


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
def test_a_wait_is_never_shorter_than_it_says(fraction, tmp_path: Path, monkeypatch):
    """The clock gives whole seconds: a wait that began late in one must not end with it."""
    attempts = Attempts(Database(tmp_path / "identity.sqlite", MIGRATIONS))
    start = 1_800_000_000 + fraction
    monkeypatch.setattr(time, "time", lambda: start)
    for _ in range(ACCOUNT_FREE):
        assert attempts.admit("admin", "192.0.2.1") == 0
    monkeypatch.setattr(time, "time", lambda: start + 0.999)
    told = attempts.admit("admin", "192.0.2.1")
    assert told >= 1
    monkeypatch.setattr(time, "time", lambda: start + 0.999 + told)
    assert attempts.admit("admin", "192.0.2.1") == 0

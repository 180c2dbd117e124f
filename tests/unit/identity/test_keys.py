"""Signing keys: kept, rotated, and two of them published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from identity.keys import Keys


def names(keys: Keys) -> list[str]:
    return [key["kid"] for key in keys.public()["keys"]]


def test_current_and_previous_are_published_and_both_are_believed(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    tokens = [keys.sign({"n": 0}, "at+jwt")]
    for number in (1, 2):
        keys.rotate()
        tokens.append(keys.sign({"n": number}, "at+jwt"))
    assert len(set(names(keys))) == 2
    assert [keys.read(token, "at+jwt") for token in tokens] == [None, {"n": 1}, {"n": 2}]
    assert names(Keys(tmp_path)) == names(keys)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert all("d" not in key for key in keys.public()["keys"])


def test_an_old_key_is_replaced_by_itself(tmp_path: Path) -> None:
    first = Keys(tmp_path)
    assert len(names(first)) == 1
    assert len(names(Keys(tmp_path, rotation=0))) == 2


def test_an_identity_token_is_no_access_token(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    assert keys.read(keys.sign({}, "JWT"), "at+jwt") is None


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Keys(tmp_path)
    path = next(tmp_path.glob("*.json"))
    os.chmod(path, 0o644)
    with pytest.raises(PermissionError, match=path.name):
        Keys(tmp_path)

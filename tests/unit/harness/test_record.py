"""What is known of a lab between two commands, also of two versions of this program."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest

from harness.lab import record


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path))


KNOWN = record.LabRecord("mine", "/a.clab.yml", "d1", "local", "it can do all")


def test_what_was_written_is_read() -> None:
    record.write(KNOWN)
    assert record.read("mine") == KNOWN
    assert record.known_labs() == [KNOWN]
    assert record.read("other") is None


def test_what_a_newer_version_has_written_besides_hides_no_lab() -> None:
    record.write(KNOWN)
    file = record.place_of("mine").folder / "lab.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"colour": "red"}))
    assert record.known_labs() == [KNOWN]


def test_who_works_on_a_lab_is_alone_with_it_and_who_removed_it_is_no_hindrance() -> None:
    with (
        record.locked("mine"),
        pytest.raises(record.LabError, match="another labctl is bringing lab mine up or down"),
        record.locked("mine"),
    ):
        pytest.fail("two at a time")
    with record.locked("mine"):
        pass


def test_a_lock_stays_as_long_as_its_lab(tmp_path: Path) -> None:
    with record.locked("mine"):
        assert (tmp_path / "labs/.mine.lock").exists()
    assert list((tmp_path / "labs").iterdir()) == []
    record.write(KNOWN)
    with record.locked("mine"):
        pass
    assert (tmp_path / "labs/.mine.lock").exists()


def test_a_lock_that_goes_in_a_moment_is_waited_for() -> None:
    with contextlib.ExitStack() as held:
        held.enter_context(record.locked("mine"))
        threading.Timer(0.3, held.close).start()
        with record.locked("mine"):
            pass

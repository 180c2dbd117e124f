"""Runs as data: the whole command, and those that broke off."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from perf import record
from perf.lab import BenchmarkError


def test_a_command_says_all_that_was_asked_also_by_default() -> None:
    asked = Namespace(
        sites=[1, 5], knee=None, output=Path("a b"), seed=7, load_seed="x", fast=True, changes=False, search=[]
    )
    assert record.words(asked) == [
        "--sites", "1", "5", "--output", "a b", "--seed", "7", "--load-seed", "x", "--fast", "--no-changes", "--search",
    ]  # fmt: skip


def test_a_run_that_breaks_off_is_kept_as_void_and_still_raises(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise BenchmarkError("an edit is answered 500")

    with pytest.raises(BenchmarkError, match="answered 500"):
        record.kept("things", Namespace(rounds=5, seed=7), broken, tmp_path)
    [run] = record.read_all(tmp_path)
    assert run.module == "things"
    assert run.command == "labctl bench things --rounds 5 --seed 7"
    assert run.content["void"] == "it broke off: an edit is answered 500"
    assert run.comparisons == []


def test_a_promise_is_void_with_its_run_unless_it_says_why_itself(tmp_path: Path) -> None:
    promise = {"median": 1.0, "bound": 2.0, "kept": True}
    own = {**promise, "void": "its floor moved"}
    told = {"started": "2026-11-23T10:00:00+00:00", "void": "2 requests failed", "one": promise, "other": own}
    found = record.read(record.save("things", told, tmp_path)).promises
    assert (found["one"]["void"], found["other"]["void"]) == ("2 requests failed", "its floor moved")

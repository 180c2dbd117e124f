"""Each benchmark in its smallest form, as anybody starts it: what it keeps has its form and tells what it is worth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.benching import benchmarks
from harness.paths import REPOSITORY
from perf import record, report
from perf.statistics import LEAST_ROUNDS, VOID

Json = Any
SECONDS = 900
SMALLEST = {
    "devices": "--devices 3 --rounds 1",
    "edits": "--sites 0 --clients 2 --rounds 1",
    "engines": "--sites 1 --nodes 3 --rounds 1",
    "forwarding": "--shapes ESP --sizes 64 --search ESP --search-size 64 --no-changes --rounds 1",
    "harness": "--topology plain --tests 2 --rounds 1",
    "lab": "--topology plain --rounds 1",
    "load": "--scenario short",
    "orders": "--existing 0 1 --in-flight 2 --rounds 1",
    "reports": "--results 20 --earlier 1 --rounds 1",
    "sites": "--sites 1 2 --rounds 1",
    "soak": "--minutes 0.5 --knee 1 --standing 0",
    "tunnels": "--rounds 1 --seconds 1",
}
IN_EVERY_RUN = ("lab",)
EACH = [
    pytest.param(name, marks=[] if name in IN_EVERY_RUN else [pytest.mark.exhaustive, pytest.mark.long])
    for name in benchmarks()
]
BOUNDS = ("bound", "most_ratio", "least_ratio")


@pytest.mark.parametrize("name", EACH)
def test_a_benchmark_in_its_smallest_form_keeps_what_it_saw(name: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [sys.executable, str(REPOSITORY / "labctl.py"), "bench", name]
    environment = {
        **os.environ, "ELASTICLAB_RESULTS": str(results), "ELASTICLAB_STATE": str(tmp_path / "state"),
    }  # fmt: skip
    done = subprocess.run(
        [*command, *SMALLEST.get(name, "--rounds 1").split()], cwd=REPOSITORY, env=environment, capture_output=True,
        text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    [file] = results.iterdir()
    result = record.read(file)
    assert not result.content.get("void", "").startswith("it broke off")
    assert re.fullmatch(rf"{name}-\d{{8}}T\d{{6}}Z\.json", file.name)
    _said_of_itself(result, name)
    for one in result.comparisons:
        _compared(one)
    for said in result.promises.values():
        _promised(said)
    assert result.comparisons or result.promises
    _told(result, done.returncode)
    assert not list((tmp_path / "state" / "labs").glob("[!.]*")), "a lab is left"


def _said_of_itself(result: record.Result, name: str) -> None:
    assert result.command.startswith(f"labctl bench {name} ") or name == "load"
    assert "seed" in result.command
    assert re.match(r"B\d+[ ,]", result.content["benchmark"])
    subject = result.content["subject"]
    assert re.fullmatch(r"[0-9a-f]{40}", subject["commit"])
    assert {"kernel", "processors", "packages", "python", "changed"} <= subject.keys()
    skies = result.content["weather"]
    assert skies
    assert all({"load", "pressure", "steal_ticks"} <= sky.keys() for sky in skies)


def _series(one: Json) -> None:
    assert one["min"] <= one["median"] <= one["max"]
    assert len(one["rounds"]) >= 1


def _compared(one: Json) -> None:
    """One round never counts, and what is promised of it is judged all the same."""
    for series in (one["ours"], one["floor"], *([one["peer"]] if "peer" in one else [])):
        _series(series)
    assert one["name"]
    assert one["unit"]
    assert one["measured"] != one["against"]
    assert one["ratio"] > 0
    assert isinstance(one["more_is_better"], bool)
    if len(one["ours"]["rounds"]) < LEAST_ROUNDS:
        assert "fewer than" in one["void"]
    bounds = {name: one[name] for name in BOUNDS if one[name] is not None}
    assert (one["kept"] is None) is not bool(bounds)
    if bounds:
        kept = one["ours"]["median"] <= bounds.get("bound", one["ours"]["median"])
        kept &= one["ratio"] <= bounds.get("most_ratio", one["ratio"])
        assert one["kept"] is (kept and one["ratio"] >= bounds.get("least_ratio", one["ratio"]))


def _promised(one: Json) -> None:
    if "rounds" in one:
        _series(one)
        assert "fewer than" in one["void"] or len(one["rounds"]) >= LEAST_ROUNDS
    holds = one["median"] >= one["bound"] if one.get("at least") else one["median"] <= one["bound"]
    assert one["kept"] is holds or "max" in one  # what must be true of every round is not told by its median


def _told(result: record.Result, status: int) -> None:
    """By the exit status, on the page, and as data."""
    kept = [one["kept"] for one in (*result.comparisons, *result.promises.values())]
    assert status in ((0, 1) if False in kept else (0, VOID))
    page = report.page([result])
    assert "<section" in page
    assert "VOID" in page or result.module in ("load", "soak")
    json.dumps(result.content, allow_nan=False)

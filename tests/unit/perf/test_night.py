"""What is done at night: every part is tried, none takes longer than it may, and what came of it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.benching import benchmarks
from harness.paths import REPOSITORY
from harness.wait import wait_for
from perf import night
from perf.night import Night, NightError, plan
from perf.statistics import VOID

OURS = REPOSITORY / ".ci/nightly.toml"
STARTED = "2026-11-23T10:00:00+00:00"
BROKEN = {"benchmark": "B0", "started": STARTED, "void": "it broke off", "comparisons": []}
RESULT = {
    "benchmark": "B0", "started": STARTED, "comparisons": [],
    "early": {"median": 1.0, "bound": 2.0, "kept": True},
    "late": {"median": 3.0, "bound": 2.0, "kept": False},
    "moved": {"median": 3.0, "bound": 2.0, "kept": False, "void": "its floor moved"},
}  # fmt: skip


def written(place: Path, *parts: tuple[str, float, str], hours: float = 1) -> Path:
    file = place / "night.toml"
    told = [f"[[part]]\nname = {json.dumps(n)}\nminutes = {m}\ncommand = {json.dumps(c)}\n" for n, m, c in parts]
    file.write_text(f"[hours]\nnight = {hours}\nrelease = {hours}\n" + "".join(told))
    return file


def done(place: Path, file: Path, *words: str) -> tuple[int, str]:
    """A night as anybody starts it: its exit status, and its summary."""
    folder = place / "made"
    command = [sys.executable, "-m", "perf.night", str(file), "--folder", str(folder), *words]
    environment = {**os.environ, "ELASTICLAB_STATE": str(place / "state"), "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    summary = (folder / "summary.txt").read_text()
    assert summary.splitlines()[0] in found.stdout, found.stderr
    return found.returncode, summary


def test_every_part_is_tried_and_one_that_hangs_is_interrupted_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hangs = f"sh -c 'sleep 600 & echo $! > {pid}; wait'"
    file = written(tmp_path, ("fails", 1, "false"), ("hangs", 0.02, hangs), ("is well", 1, "sh -c 'echo {parent}'"))
    status, summary = done(tmp_path, file, "--against", "v1")
    assert status == 1
    said = [line.split("min  ")[1] for line in summary.splitlines()[:-1]]
    assert said == ["FAILED, exit status 1", "INTERRUPTED after 0.02 min", "passed"]
    assert (tmp_path / "made/is-well.log").read_text() == "v1\n"
    wait_for("what hung to be gone", lambda: not Path("/proc", pid.read_text().strip(), "exe").exists(), 10)


def test_figures_that_say_nothing_or_miss_their_bound_are_told(tmp_path: Path) -> None:
    for name, told in (("things", RESULT), ("others", BROKEN)):
        (tmp_path / f"{name}-1.json").write_text(json.dumps(told))
    status, summary = done(
        tmp_path, written(tmp_path, ("bench", 1, f"sh -c 'cp {tmp_path}/*.json $ELASTICLAB_RESULTS'"))
    )
    assert status == VOID
    assert "void, 3 figures" in summary
    said = [line.strip() for line in summary.splitlines()[1:-1]]
    assert said == [
        "others: VOID: it broke off",
        "late: MISSED",
        "moved: VOID: its floor moved, and its bound is missed",
    ]


def test_what_would_begin_after_its_hours_is_not_begun(tmp_path: Path) -> None:
    status, summary = done(tmp_path, written(tmp_path, ("is late", 1, "true"), hours=0))
    assert (status, "NOT BEGUN" in summary) == (1, True)


def test_labs_that_a_part_leaves_are_told_and_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path / "state"))
    one = Night(tmp_path / "made", "HEAD~1")
    lab = tmp_path / f"state/night-{os.getpid()}/labs/left"
    told = {"name": "left", "topology": "x", "digest": "", "host": "local", "reason": "", "complete": False}
    leaves = f"sh -c 'mkdir -p {lab} && cp {tmp_path}/lab.json {lab}'"
    (tmp_path / "lab.json").write_text(json.dumps(told))
    found = one.carry_out(night.Part("leaves", 1, leaves), 1)
    assert (found.status, found.labs, found.failed) == (0, ["left"], True)
    assert not lab.exists()
    one.close()
    assert not lab.parent.parent.exists()


def test_every_benchmark_is_run_once_a_night_or_for_a_release() -> None:
    every = plan(OURS, release=True).parts
    named = [word for part in every for word in night._measured(part)]
    assert set(named) == set(benchmarks()) | {"--report", "--against"}
    assert len({part.name for part in every}) == len({part.file for part in every}) == len(every)
    usual = plan(OURS, release=False).parts
    assert {"tests", "gate tunnels", "bench forwarding"} < {part.name for part in usual}
    assert {"bench soak"} <= {part.name for part in every} - {part.name for part in usual}
    assert usual[-1].name == every[-1].name == "report of the benchmarks"
    assert [one.name for one in plan(OURS, release=False, only=["tunnels"]).parts[:-1]] == [
        "gate tunnels", "bench tunnels",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "wrong"),
    [("[[part]]\nname = 'x'\nweeks = 1", "not weeks"), ("part = 3", "TypeError"), ("[[part", "TOMLDecodeError")],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, said: str, wrong: str) -> None:
    file = tmp_path / "night.toml"
    file.write_text(said)
    with pytest.raises(NightError, match=wrong):
        plan(file, release=False)

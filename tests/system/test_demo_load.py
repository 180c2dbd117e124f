"""Load on a lab: every interface is used, what is promised is judged, and nothing stays (LAB-09)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import allure
import pytest

from harness.paths import REPOSITORY
from perf.statistics import VOID
from tests.system.lifecycle import Life
from tests.system.traces import Json

pytestmark = pytest.mark.topology("demo", orders=False)

SECONDS = 150
HOPELESS = """
about = "nobody can be as quick as this"
rate = 2
[shape]
kind = "soak"
level = 1
seconds = 1
[users]
restconf = 1
[sla."RESTCONF write"]
p50 = 0.001
"""


def load(life: Life, scenario: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Locust as anybody starts it, on this lab: its exit status, and what it has kept."""
    page = folder / "load.html"
    command = [
        *(sys.executable, "-m", "locust", "-f", "perf/load/provisioning.py", "--headless", "--only-summary"),
        *("--scenario", scenario, "--lab", life.lab.name, "--report", str(page), "--keep", str(folder)),
    ]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    print(done.stdout, done.stderr)
    allure.attach.file(str(page), "Load", allure.attachment_type.HTML)
    shown = page.read_text()
    assert "Locust" in shown
    assert '<section id="elasticlab"' in shown
    kept: dict[str, Any] = json.loads(next(folder.glob("load-*.json")).read_text())
    return done.returncode, kept


def test_every_interface_is_loaded_and_orders_are_seen_to_take_effect(
    life: Life, nothing: dict[str, Json], tmp_path: Path
) -> None:
    status, kept = load(life, "short", tmp_path)
    assert (kept["failed"], status) == ({}, VOID if kept["void"] else 0)
    seen = kept["milliseconds"]
    assert {"OAuth token", "order accepted", "order applied", "order completed", "end completed"} <= seen.keys()
    assert seen["order applied"]["min"] > seen["order accepted"]["min"], "applied before anything was accepted"
    assert {"reserve", "devices", "network", "verify"} <= kept["steps_seconds"].keys()
    assert kept["generator"]["headroom"] > 0
    assert kept["ratio_to_floor"]["order applied"] > 1
    assert len(kept["weather"]) >= 3
    life.left_nothing(nothing, 20)


def test_a_promise_that_is_not_kept_fails_the_run(life: Life, nothing: dict[str, Json], tmp_path: Path) -> None:
    scenario = tmp_path / "hopeless.toml"
    scenario.write_text(HOPELESS)
    status, kept = load(life, str(scenario), tmp_path)
    assert status == (VOID if kept["void"] else 1)
    assert [(one["limit"], one["kept"]) for one in kept["promises"]] == [("p50", False)]
    assert kept["failed"] == {}

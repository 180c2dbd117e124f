"""`labctl fault` without a lab: what there is, and what is refused with which status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.cli.__main__ import main
from harness.faults.scenario import FAULTS


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["labctl", "fault", *arguments])
    return main()


def test_scenarios_and_kinds_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "list", "--lab", "nosuch", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in listed} == {path.stem for path in FAULTS.glob("*.yaml")}
    assert run(monkeypatch, "show", "loss-asymmetric", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["faults"][0]
    assert shown.items() >= {"fault": "loss", "percent": 20, "direction": "in", "for": None}.items()
    assert run(monkeypatch, "show", "rate") == 0
    assert "queue_ms" in capsys.readouterr().out


def test_a_wrong_file_has_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("about: x\nfaults:\n  - {fault: cut, on: 'a:lan'}\n  - {fault: loss, on: 'a:lan', percent: 200}\n")
    for verb in ("show", "run"):
        assert run(monkeypatch, verb, str(wrong)) == 2
        assert "wrong.yaml:4:41: percent cannot be" in capsys.readouterr().err
    assert run(monkeypatch, "run", "line-cut") == 1
    assert "names no place" in capsys.readouterr().err

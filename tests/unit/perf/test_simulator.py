"""The simulator's command line, where there is no libyang."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.simulator.__main__ import placed


def test_paths_are_seen_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    anchor = tmp_path / "ca.pem"
    words, binds = placed(["--devices", "3", "--identities=boxes", "--anchor", str(anchor), "--list"])
    boxes = str(tmp_path / "boxes")
    assert words == ["--devices", "3", "--identities", boxes, "--anchor", str(anchor), "--list"]
    assert {bind.target for bind in binds} == {boxes, str(tmp_path)}
    assert all(bind.source.is_dir() for bind in binds)

"""The kernel decides which host a lab gets, by what was tried."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.host import capabilities, choose
from harness.paths import labs_dir

ALL = ("bridge", "mirred", "overlayfs", "esp", "gre", "vxlan")


def test_a_kernel_that_can_do_all_is_used() -> None:
    assert choose({"esp", "gre"}, dict.fromkeys(ALL, ""))[0] == "local"


def test_a_kernel_that_lacks_something_gets_a_lab_kernel_and_the_reason_names_it() -> None:
    kind, reason = choose({"esp", "gre"}, {**dict.fromkeys(ALL, ""), "gre": "not supported"})
    assert (kind, reason) == ("lab-kernel", "this machine's kernel lacks gre")


def test_what_no_lab_can_do_without_counts_always() -> None:
    assert choose(set(), {**dict.fromkeys(ALL, ""), "mirred": "no"})[0] == "lab-kernel"


def test_a_need_that_was_never_probed_is_not_assumed() -> None:
    assert choose({"time-travel"}, dict.fromkeys(ALL, ""))[0] == "lab-kernel"


def test_a_trial_that_was_killed_is_taken_away_though_another_has_told_all_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path))
    monkeypatch.setattr(capabilities, "_probe", lambda: dict.fromkeys(ALL, ""))
    capabilities.local_capabilities()
    killed = subprocess.Popen(["true"])
    killed.wait()
    (labs_dir() / f".probe.{killed.pid}/root").mkdir(parents=True)
    assert capabilities.local_capabilities() == dict.fromkeys(ALL, "")
    assert list(labs_dir().iterdir()) == []

"""The plugin itself, in a pytest of its own: what it leaves behind when things go wrong."""

from __future__ import annotations

import html
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.lab import Lab, known_labs
from harness.wait import wait_for
from tests.lab.inner import attachments, reported, results, start

SLEEPER = """
import pytest
@pytest.mark.topology("plain")
def test_sleeps(lab):
    lab["host-1"].run("sleep", "60", timeout=70)
"""
BREAKER = """
from contextlib import contextmanager
import pytest
from harness.evidence.steps import step
from harness.faults import Cut
@pytest.mark.topology("plain")
def test_breaks(lab):
    with lab.fault(Cut("host-1:lan")):
        pass
    with lab.fault(Cut("host-2:lan"), seed=7):
        with held(lab), step("look"):
            lab["host-1"].mark("load", "a little")
            assert False, "on purpose"
@contextmanager
def held(lab):
    lab["host-1"].sh("ip link add of-the-block type bridge")
    try:
        with lab.watched():
            yield
    finally:
        lab["host-1"].sh("ip link del of-the-block")
@pytest.mark.topology("plain")
def test_goes_on(lab):
    assert lab["host-1"].reaches("10.2.0.10")
"""
SILENT = """
import pytest
from harness.evidence import difference
@pytest.fixture(autouse=True, scope="session")
def silent():
    def taken(lab):
        raise RuntimeError("nobody says what it is like")
    difference.taken = taken
@pytest.mark.topology("plain")
def test_has_no_lab(lab): ...
"""
LATE = """
import threading
from harness.evidence import difference
changed, taken = threading.Event(), difference.taken
def late(lab):
    changed.wait(1)
    return taken(lab)
difference.taken = late
"""
CHANGER = """
import pytest
from conftest import changed
@pytest.mark.topology("plain")
def test_changes_something_at_once(lab):
    lab["router"].sh("ip link add of-the-test type bridge")
    changed.set()
    assert False, "on purpose"
"""
ORDERLY = """
import pytest
@pytest.mark.topology("demo")
def test_ordered(lab): ...
@pytest.mark.topology("plain")
def test_elsewhere(lab): ...
@pytest.mark.topology("demo", orders=False)
def test_before_anything_is_ordered(lab): ...
"""
SICK = """
name: sick
topology:
  nodes:
    sick:
      kind: linux
      image: elasticlab/endpoint:latest
      labels: {elasticlab.role: host}
      exec: [ip link add of-the-sick type bridge, ip link set of-nobody up]
"""
HOPEFUL = """
import pytest
@pytest.mark.topology("sick.clab.yml")
def test_hopes(lab): ...
"""


def labs_of(pid: int) -> list[str]:
    return [lab.name for lab in known_labs() if lab.name.endswith(f"-{pid}")]


def test_the_lab_of_a_killed_run_is_removed_by_the_next_and_one_that_is_of_no_use_by_its_own(tmp_path: Path) -> None:
    killed = start(tmp_path, SLEEPER)
    wait_for(
        "the inner run's lab",
        lambda: [lab for lab in known_labs() if lab.complete and lab.name in labs_of(killed.pid)],
        120,
    )
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert labs_of(killed.pid), "nobody was there to remove it"
    following = start(tmp_path, SILENT)
    said, _ = following.communicate(timeout=300)
    assert "RuntimeError: nobody says what it is like" in said
    assert "1 error in" in said, "and none at the end of the run, when nothing is there to be removed"
    assert labs_of(killed.pid) == []
    assert labs_of(following.pid) == []


@pytest.mark.topology("plain")
def test_a_running_lab_is_looked_at_before_a_test_reaches_into_it(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(LATE)
    try:
        said, _ = start(tmp_path, CHANGER, "--lab", lab.name).communicate(timeout=60)
    finally:
        lab["router"].sh("ip link del of-the-test")
    assert "1 failed in" in said
    _, attached = reported(tmp_path / "results", "test_changes_something_at_once")
    assert "+ of-the-test: " in attached["what is not as it was"]


def test_a_failure_leaves_what_was_there_before_the_test_tidied_up_and_the_next_test_a_working_lab(
    tmp_path: Path,
) -> None:
    run = start(tmp_path, BREAKER, "--lab-seed", "7")
    said, _ = run.communicate(timeout=300)
    assert "1 failed, 1 passed" in said
    evidence = b"\n".join(file.read_bytes() for file in (tmp_path / "results").iterdir())
    for look in (b"=== addresses:", b"=== routes:", b"=== nft:", b"=== connections:", b"=== processes:"):
        assert look in evidence
    faults = [
        line for line in evidence.decode(errors="replace").splitlines() if " cut on host-" in line and "seed" in line
    ]
    assert [line.endswith("IN EFFECT WHEN THE TEST FAILED") for line in faults] == [False, True]
    assert "cut on host-1:lan" in faults[0]
    breaks, goes_on = results(tmp_path / "results")
    shown = attachments(tmp_path / "results", goes_on)
    assert list(shown) == ["topology plain", "how to run it again", "timeline"], "it has no boxes"
    assert "host-1 ping -n -c1 -W1 10.2.0.10 → exit status 0" in html.unescape(shown["timeline"])
    assert "test_inner.py::test_goes_on" in shown["how to run it again"]
    pictures = {one["source"] for test in (breaks, goes_on) for one in test["attachments"] if "svg" in one["type"]}
    assert len(pictures) == 1, "one file for all that have it"
    was_there(*reported(tmp_path / "results", "test_breaks"))


def was_there(result: dict[str, Any], attached: dict[str, str]) -> None:
    """What the failed test has left is what it saw."""
    assert "of-the-block" in attached["host-1"], "the block's end removed it"
    assert "state DOWN" in attached["host-2"], "the cable was pulled"
    short = attached["what is not as it was"]
    assert "on purpose: cut on host-2:lan" in short
    assert "=== host-1 links\n+ of-the-block: " in short
    assert "--lab-host=" in attached["how to run it again"]
    assert attached["how to run it again"].count("--lab-seed=7 test_inner.py::test_breaks") == 2
    fault = random.Random("7 faults test_inner.py::test_breaks").getrandbits(62)
    assert f"cut on host-1:lan  (seed {random.Random(fault).getrandbits(62)})" in attached["faults"], (
        "the first draws it"
    )
    assert result["fullName"].rpartition("#")[2] in attached["how to run it again"]
    timeline = attached["timeline"]
    begun, cut, failed = (timeline.index(what) for what in ("began", "cut on host-2:lan", "AssertionError: on purpose"))
    assert begun < cut < failed
    assert begun < timeline.index("ip link add of-the-block") < failed, "what the test did is in it"
    assert cut < timeline.index(">look<") < timeline.index("a little") < failed
    assert "(in: look)" in timeline
    assert "</svg>" in attached["topology plain"]
    assert "</svg>" in attached["topology when it failed"]


def test_a_lab_that_does_not_come_up_is_looked_at_before_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "sick.clab.yml").write_text(SICK)
    run = start(tmp_path, HOPEFUL)
    said, _ = run.communicate(timeout=300)
    assert "1 error" in said
    assert labs_of(run.pid) == []
    _, attached = reported(tmp_path / "results", "test_hopes")
    assert "of-the-sick" in attached["sick"]
    assert "</svg>" in attached["topology when it failed"]
    assert "of-nobody" in attached["timeline"]


def test_labs_are_shared_and_those_without_orders_come_first(tmp_path: Path) -> None:
    said, _ = start(tmp_path, ORDERLY, "--collect-only").communicate(timeout=300)
    collected = [line.rpartition("::")[2] for line in said.splitlines() if "::" in line]
    assert collected == ["test_before_anything_is_ordered", "test_ordered", "test_elsewhere"]

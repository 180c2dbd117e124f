"""Whatever becomes of whoever began a fault, it ends; and there is a record of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.faults import Clock, Cut, Delay, FaultError, Loss, Pause, Stop, Swizzle
from harness.lab import Lab
from harness.lab.faults import record_size, recorded
from harness.paths import REPOSITORY
from harness.wait import DeadlineError, wait_for

pytestmark = pytest.mark.topology("breakable")

EAST = "10.2.0.10"


def labctl(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "fault", *arguments, "--lab", lab.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def said(lab: Lab, *arguments: str) -> Any:
    """What a command says as JSON."""
    process = labctl(lab, *arguments, "--json")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return json.loads(out)


def texts(lab: Lab) -> list[str]:
    return [entry["what"]["text"] for entry in lab.faults_in_effect()]


@pytest.mark.parametrize(
    ("number", "lasts", "status", "told"),
    [
        (signal.SIGKILL, (), -signal.SIGKILL, ""),
        (signal.SIGINT, (), 0, "over; all is undone"),
        (signal.SIGINT, ("--for", "600"), 130, "interrupted; all is undone"),
    ],
)
def test_what_labctl_broke_is_put_right_however_it_ends(
    lab: Lab, number: signal.Signals, lasts: tuple[str, ...], status: int, told: str
) -> None:
    running = labctl(lab, "run", "line-cut", "--on", "east:lan", "--seed", "5", *lasts)
    wait_for("the fault to begin", lambda: texts(lab) == ["cut on east:lan"], 30)
    lab["west"].must_not_reach(EAST)
    # As a terminal does it: to all of the command's processes, those that hold the channel among them.
    os.killpg(running.pid, number) if number == signal.SIGINT else running.kill()
    out, _ = running.communicate(timeout=60)
    assert running.returncode == status
    assert told in out
    if number != signal.SIGKILL:
        assert texts(lab) == []
    wait_for("the fault to end", lambda: texts(lab) == [], 20)
    lab["west"].must_reach(EAST)
    assert recorded(lab)[-1]["why"].startswith(("its block was left by an exception", "whoever began it is gone"))


def agents(lab: Lab) -> set[str]:
    """The numbers of the agents, as the lab host has them; the brackets keep this search from finding itself."""
    look = "grep -ls 'sys[.]stdin[.]readline' /proc/[0-9]*/cmdline"
    found = subprocess.run(lab.host.command("sh", "-c", look), capture_output=True, text=True, check=True)
    return {line.split("/")[2] for line in found.stdout.splitlines()}


def test_what_labctl_broke_is_put_right_when_its_agent_is_killed(lab: Lab) -> None:
    lab.agent.call("ping")
    before = agents(lab)
    running = labctl(lab, "run", "line-cut", "--on", "east:lan")
    wait_for("the fault to begin", lambda: texts(lab) == ["cut on east:lan"], 30)
    subprocess.run(lab.host.command("kill", "-KILL", *agents(lab) - before), check=True)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "ended before the scenario did; all is undone" in error.replace("\n", " ")
    assert texts(lab) == []
    lab["west"].must_reach(EAST)


def test_a_scenario_runs_in_its_time_and_is_told_as_it_happens(lab: Lab, tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(
        "about: x\nfaults:\n"
        "  - {fault: loss, percent: 5, for: 1.5}\n"
        "  - {fault: cut, on: 'far:lan', at: 0.5, for: 0.5}\n"
    )
    running = labctl(lab, "run", str(scenario), "--on", "east:lan", "--seed", "7", "--json")
    out, error = running.communicate(timeout=60)
    assert running.returncode == 0, error
    told = [json.loads(line) for line in out.splitlines()]
    news = [(line["event"], line["text"], line["after"]) for line in told if line["event"] in ("begin", "end")]
    assert [(event, text.split()[0]) for event, text, _ in news] == [
        ("begin", "loss"), ("begin", "cut"), ("end", "cut"), ("end", "loss"),
    ]  # fmt: skip
    assert [after for *_, after in news] == pytest.approx([0, 0.5, 1, 1.5], abs=0.4)
    assert next(line for line in told if line["event"] == "scenario")["seed"] == 7
    kept = recorded(lab)[-4:]
    assert [line["event"] for line in kept] == ["begin", "begin", "end", "end"]
    assert kept[0]["id"] == kept[3]["id"]
    assert kept[3]["monotonic"] - kept[0]["monotonic"] == pytest.approx(1.5, abs=0.4)
    assert (kept[0]["on"], kept[0]["values"]["percent"], kept[0]["for"]) == (["east:lan"], 5, 1.5)


def test_swizzled_cables_go_one_by_one_and_all_come_back(lab: Lab) -> None:
    before = record_size(lab)
    with lab.fault(Swizzle("lab"), seconds=2, seed=4) as injection:
        injection.wait()
        assert texts(lab) == []
        lab["west"].must_reach(EAST)
    orders = [[line["text"] for line in recorded(lab, before) if line["event"] == event] for event in ("begin", "end")]
    assert orders[0] != orders[1]
    assert (
        sorted(orders[0]) == sorted(orders[1]) == [f"swizzle on {end}" for end in ("east:lan", "far:lan", "west:lan")]
    )


def test_anybody_sees_what_is_in_effect_and_may_clear_it(lab: Lab) -> None:
    with lab.fault(Delay("east:lan", ms=10), Cut("far:lan"), seconds=600):
        seen = said(lab, "status")
        assert [entry["text"] for entry in seen] == ["delay on east:lan: ms 10", "cut on far:lan"]
        assert all(0 <= entry["seconds"] < 60 and entry["for"] == 600 for entry in seen)
        assert said(lab, "clear") == ["delay on east:lan: ms 10", "cut on far:lan"]
        assert texts(lab) == []
        lab["router"].must_reach("10.3.0.10")
    assert [line["why"] for line in recorded(lab)[-2:]] == ["cleared", "cleared"], "and it did not end twice"
    assert lab.clear_faults() == []


@pytest.mark.parametrize("operation", ["fault.begin", "fault.end"])
def test_what_is_not_answered_in_time_is_undone_with_all_the_rest(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    call = lab.agent.call

    def hears_nothing(asked: str, within: float = 60, /, **arguments: Any) -> Any:
        return call(asked, 0 if asked == operation else within, **arguments)

    with monkeypatch.context() as deaf:
        deaf.setattr(lab.agent, "call", hears_nothing)
        with pytest.raises(TimeoutError, match=f"{operation}: no answer"), lab.fault(Cut("east:lan"), Cut("far:lan")):
            assert len(texts(lab)) == 2
    assert lab.agent.calls[-1].operation == "fault.end"
    wait_for("all to be undone", lambda: texts(lab) == [], 20)


def test_what_could_not_be_undone_stays_in_effect_until_somebody_can(lab: Lab) -> None:
    def stop() -> None:
        with lab.fault(Stop("router", process="http"), Cut("east:lan")):
            paused.enter_context(lab.fault(Pause("router")))

    with contextlib.ExitStack() as paused:
        with pytest.raises(FaultError, match="stop could not be undone, `labctl fault clear` tries again: node router"):
            stop()
        assert texts(lab) == ["stop on router: process http", "pause on router"], "and the other was undone"
        assert recorded(lab)[-1]["text"] == "cut on east:lan"
    assert said(lab, "clear") == ["stop on router: process http"]
    assert texts(lab) == []
    assert lab["router"].exec("sv", "status", "http").startswith("run:")


def test_a_wrong_place_is_refused_before_anything_happens(lab: Lab) -> None:
    refused = labctl(lab, "run", "line-cut", "--on", "east:lam")
    _, error = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "line-cut.yaml:3:5: cut: there is no cable at 'east:lam'; there is east:lan" in error.replace("\n", " ")
    assert texts(lab) == []


def test_a_test_that_fails_inside_leaves_nothing(lab: Lab) -> None:
    def fails() -> None:
        with lab.faults("bad-line", on="site east", seed=3) as injection:
            assert len(texts(lab)) == 7
            assert injection.seed == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert texts(lab) == []
    lab["west"].must_reach(EAST)


def test_what_goes_wrong_later_is_told_at_the_end_and_the_rest_undone(lab: Lab, tmp_path: Path) -> None:
    scenario = tmp_path / "later.yaml"
    scenario.write_text(
        "about: x\nfaults:\n  - {fault: cut, on: 'far:lan'}\n  - {fault: kill, on: east, process: nosuch, at: 0.1}\n"
    )
    with (
        pytest.raises(FaultError, match="nothing called 'nosuch' runs in node east"),
        lab.faults(scenario) as injection,
    ):
        injection.wait()
    assert texts(lab) == []
    lab["router"].must_reach("10.3.0.10")


def test_what_an_agent_that_was_killed_had_begun_is_ended_by_the_next(lab: Lab) -> None:
    other = lab.host.agent()
    pid = other.call("pid")
    effect = {"kind": "line", "link": lab.link("east:lan").index, "strain": {"cut": True}}
    other.call("fault.begin", fault="orphan", what={"text": "a cut"}, effects=[effect])
    subprocess.run(lab.host.command("kill", "-KILL", str(pid)), check=True)
    other.close()
    assert texts(lab) == ["a cut"]
    lab["west"].must_not_reach(EAST)
    successor = lab.host.agent()
    successor.call("ping")
    successor.close()
    assert texts(lab) == []
    lab["west"].must_reach(EAST)


def test_the_lab_is_unhurt_by_all_of_this(lab: Lab) -> None:
    with lab.fault(Loss("lab", percent=1)):
        assert {entry["link"] for entry in lab.faults_in_effect()[0]["effects"]} == {0, 1, 2}
    state = lab.agent.call("lines")
    assert all(not line["strains"] for line in state.values())


def ahead(lab: Lab) -> float:
    return float(lab["west"].exec("date", "+%s.%N")) - time.time()


def test_what_is_cleared_does_not_go_on_in_the_agent_that_began_it(lab: Lab) -> None:
    """A clock that drifts is set again and again, by an agent that is not the one who puts it right."""
    with lab.fault(Clock(drift=400)):
        other = lab.host.agent()
        assert other.call("fault.clear") == ["clock: drift 400"]
        other.close()
        with pytest.raises(DeadlineError):  # longer than it takes to set it again
            wait_for("the clock to go wrong again", lambda: ahead(lab) > 0.3, 1.5)

"""Faults of nodes: processes, power, means, clocks. Each does what it says, and afterwards all is as it was."""

from __future__ import annotations

import subprocess
import time

import pytest

from harness import lab as labs
from harness.build.progress import Silent
from harness.faults import Clock, Cpu, Disk, FaultError, Kill, MemoryPressure, Pause, Power, Stop
from harness.host.channel import AgentError
from harness.lab import Lab, lifecycle
from harness.lab.faults import recorded
from harness.lab.lifecycle import Timings
from harness.wait import DeadlineError, wait_for

pytestmark = pytest.mark.topology("breakable")

EAST = "10.2.0.10"
LIMIT = "/sys/fs/cgroup/cpu.max"
HTTP = "/etc/service/http/supervise/pid"


def serves(lab: Lab, seconds: float = 0.5) -> bool:
    return lab["west"].run("curl", "-sf", "-o", "/dev/null", "-m", str(seconds), "http://10.1.0.1/").ok


def wait_until_served(lab: Lab) -> None:
    wait_for("the router to serve its page", lambda: serves(lab), 20)


def machine_is(lab: Lab, node: str) -> float:
    """Seconds by which a node's clock is ahead of this machine's."""
    return float(lab[node].exec("date", "+%s.%N")) - time.time()


def told_outside(lab: Lab, node: str) -> float:
    """The same, as `labctl exec` has it."""
    done = subprocess.run(lab.command(node, ["date", "+%s.%N"]), capture_output=True, text=True, check=True)
    return float(done.stdout) - time.time()


def test_a_paused_node_stands_still_and_goes_on(lab: Lab) -> None:
    ticking = lab["router"].sh("{ while sleep 0.02; do echo >>/run/ticks; done; } >/dev/null 2>&1 & echo $!").strip()
    with lab.fault(Pause("router")):
        assert not serves(lab)
        lab["west"].must_reach(EAST)  # its kernel is everybody's, and forwards
        with pytest.raises(AgentError, match="node router is paused"):
            lab["router"].exec("true")
    before = len(lab["router"].exec("cat", "/run/ticks"))
    wait_for("it to tick again", lambda: len(lab["router"].exec("cat", "/run/ticks")) > before, 5)
    lab["router"].exec("kill", ticking)
    assert serves(lab)


def test_a_single_process_stands_still_while_its_node_goes_on(lab: Lab) -> None:
    with lab.fault(Pause("router", process="http")):
        state = lab["router"].sh(f"ps -o stat= -p $(cat {HTTP})")
        assert state.startswith("T")
    assert lab["router"].sh(f"ps -o stat= -p $(cat {HTTP})").startswith("S")


def test_a_killed_service_is_another_process_afterwards(lab: Lab) -> None:
    before = lab["router"].exec("cat", HTTP)
    with lab.fault(Kill("router", process="http", signal="TERM")):
        wait_for("another process", lambda: lab["router"].run("cat", HTTP).stdout not in ("", before), 10)
        assert lab.faults_in_effect() == [], "it has happened, there is nothing to end"
    wait_until_served(lab)


def test_a_stopped_service_is_down_until_the_end_also_after_a_power_cycle(lab: Lab) -> None:
    with lab.fault(Stop("router", process="http")):
        assert not serves(lab)
        lab["router"].power.cycle()
        assert "down" in lab["router"].exec("sv", "status", "http")
        lab["west"].must_reach(EAST)
        assert not serves(lab)
    wait_until_served(lab)


def test_power_comes_back_with_the_links(lab: Lab) -> None:
    with lab.fault(Power("east")):
        assert not lab["east"].running
        assert "NO-CARRIER" in lab["router"].exec("ip", "link", "show", "east")
    lab["west"].must_reach(EAST)
    boot = lab["east"].exec("stat", "-c", "%Y", "/proc/1")
    with lab.fault(Power("east"), seconds=0):
        assert lab["east"].running
        assert lab["east"].exec("stat", "-c", "%Y", "/proc/1") >= boot
        assert not lab["east"].run("test", "-e", "/run/receives").ok
    lab["west"].must_reach(EAST)


def test_up_leaves_without_power_what_a_fault_keeps_so_and_the_rest_of_it_holds_afterwards(lab: Lab) -> None:
    with lab.fault(Cpu("east", percent=10)):
        with lab.fault(Power("east")):
            lab.engine.build()
            assert not lab["east"].running
            assert "NO-CARRIER" in lab["router"].exec("ip", "link", "show", "east")
        assert lab["east"].exec("cat", LIMIT) == "10000 100000\n"


def test_a_node_that_gets_power_by_up_suffers_again_from_what_it_suffered(lab: Lab) -> None:
    with lab.fault(Cpu("east", percent=10)):
        lab["east"].power.off()
        labs.up(lab.topology, name=lab.name, progress=Silent(), timings=Timings()).close()
        assert lab["east"].exec("cat", LIMIT) == "10000 100000\n"
    assert lab["east"].exec("cat", LIMIT) == "max 100000\n"


def test_an_up_that_cannot_end_for_a_fault_names_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "READY_SECONDS", 1)
    with (
        lab.fault(Power("router")),
        pytest.raises(DeadlineError, match=rf"power on router; `labctl fault clear --lab {lab.name}` ends"),
    ):
        labs.up(lab.topology, name=lab.name, progress=Silent(), timings=Timings())
    lab["west"].must_reach(EAST)


_SPIN = """
import time
begun, used = time.monotonic(), time.process_time()
while time.monotonic() < begun + 1: pass
print(time.process_time() - used)
"""


def test_a_tenth_of_a_processor_is_a_tenth(lab: Lab) -> None:
    with lab.fault(Cpu("east", percent=10)):
        used = float(lab["east"].exec("python3", "-c", _SPIN))
        lab["east"].power.cycle()
        assert lab["east"].exec("cat", LIMIT) == "10000 100000\n", "it outlasts the power"
    assert used == pytest.approx(0.1, abs=0.04)
    assert lab["east"].exec("cat", LIMIT) == "max 100000\n"
    lab["west"].must_reach(EAST)


def test_who_wants_more_memory_than_is_left_is_killed(lab: Lab) -> None:
    def takes(mib: int) -> int:
        return (
            lab["east"]
            .run("python3", "-c", f"x = bytearray({mib} * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1")
            .status
        )

    with lab.fault(MemoryPressure("east", left=30)):
        assert takes(1) == 0
        assert takes(60) == 137
    assert takes(60) == 0
    assert lab["east"].exec("cat", "/sys/fs/cgroup/memory.max") == "max\n"


def test_a_full_disk_takes_no_octet_more_and_is_as_it_was_afterwards(lab: Lab) -> None:
    def writes(mib: float) -> bool:
        done = lab["east"].run("sh", "-c", f"head -c {int(mib * 2**20)} /dev/zero >/root/more && sync /root/more")
        lab["east"].run("rm", "-f", "/root/more")
        return done.ok

    free = int(lab["east"].exec("stat", "-f", "-c", "%a", "/"))
    with lab.fault(Disk()):
        assert not writes(0.1)
    with lab.fault(Disk(left=8)):
        assert writes(4)
        assert not writes(16)
    assert writes(16)
    assert int(lab["east"].exec("stat", "-f", "-c", "%a", "/")) == pytest.approx(free, abs=256)


@pytest.mark.parametrize("offset", [3600, -31_536_000])
def test_the_labs_clock_is_wrong_everywhere_but_on_this_machine_and_right_again(lab: Lab, offset: int) -> None:
    before = time.time()
    with lab.fault(Clock(offset=offset)):
        for node in ("west", "east"):
            assert machine_is(lab, node) == pytest.approx(offset, abs=1)
    assert machine_is(lab, "west") == pytest.approx(0, abs=1)
    assert 0 < time.time() - before < 60


def test_a_drifting_clock_drifts(lab: Lab) -> None:
    with lab.fault(Clock(drift=500)):
        wait_for("a second to be gained", lambda: machine_is(lab, "west") > 1, 10)
    assert machine_is(lab, "west") == pytest.approx(0, abs=1)


def test_one_nodes_clock_is_wrong_and_no_others_also_after_a_power_cycle(lab: Lab) -> None:
    with lab.fault(Clock("east", offset=-86_400)):
        assert machine_is(lab, "east") == pytest.approx(-86_400, abs=2)
        assert machine_is(lab, "west") == pytest.approx(0, abs=2)
        lab["east"].power.cycle()
        assert machine_is(lab, "east") == pytest.approx(-86_400, abs=2)
        assert told_outside(lab, "east") == pytest.approx(-86_400, abs=2)
    assert machine_is(lab, "east") == pytest.approx(0, abs=2)
    assert told_outside(lab, "east") == pytest.approx(0, abs=2)
    assert lab["east"].run("printenv", "LD_PRELOAD").stdout == ""
    lab["west"].must_reach(EAST)


def test_a_node_that_a_wrong_clock_started_anew_suffers_again_from_what_it_suffered(lab: Lab) -> None:
    with lab.fault(Cpu("east", percent=10)):
        with lab.fault(Clock("east", offset=-3600)):
            assert lab["east"].exec("cat", LIMIT) == "10000 100000\n"
        assert lab["east"].exec("cat", LIMIT) == "10000 100000\n"


def test_what_bears_one_fault_at_a_time_refuses_a_second_and_says_which_is_there(lab: Lab) -> None:
    with lab.fault(Cpu("east", percent=10)):
        said = (
            "^cpu on site east: percent 50: the processor of node east bears one fault at a time, and there is cpu on"
        )
        with pytest.raises(FaultError, match=said), lab.fault(Cpu("site east", percent=50)):
            pass
        with lab.fault(MemoryPressure("east", left=30), Cpu("west")):
            assert len(lab.faults_in_effect()) == 3
        assert lab["east"].exec("cat", LIMIT) == "10000 100000\n"
    assert lab.faults_in_effect() == []


def test_what_cannot_be_is_undone_to_the_last_of_it(lab: Lab) -> None:
    refused = pytest.raises(
        FaultError, match="kill on router: process nosuch: nothing called 'nosuch' runs in node rou"
    )
    with refused, lab.fault(Cpu("east"), Kill("router", process="nosuch")):
        pass
    assert [line["why"].partition(":")[0] for line in recorded(lab) if line["event"] == "end"][-2:] == [
        "could not begin",
        "ended",
    ]
    refused = pytest.raises(FaultError, match="node far has no power")
    with lab.fault(Power("far")), refused, lab.fault(Pause(("east", "far"))):
        pass
    assert lab.faults_in_effect() == []
    assert lab["east"].exec("cat", LIMIT) == "max 100000\n"
    assert lab["east"].run("true").ok

"""Whoever is killed at whatever moment: the next command finds its way, the lab beside does not notice, nothing is left
(LAB-07).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import pytest

from harness import lab as labs
from harness.host import HostError, keeper, open_host
from harness.lab.record import place_of
from harness.paths import REPOSITORY, labs_dir
from harness.wait import Deadline, wait_for
from tests.lab.remains import abandoned_interfaces, traces

HOST_2 = "10.2.0.10"
SECONDS = 90
PHASES = {"local": {"up": 1.5, "test": 2.0, "down": 1.0}, "lab-kernel": {"up": 4.0, "test": 3.0, "down": 2.0}}
"""Kind of lab host → what runs, and seconds until somebody is killed at most; of a test, from its beginning."""
VICTIMS = ("labctl", "everybody", "agent", "host")
"""The command alone; with all that it has started, as a closed terminal does; the agent; the lab host."""

# Borrows all the time, of each kind something: captures, cables, the management network, power, clocks. It ends by
# itself, because the agent that is killed may be another's, who was just about to end.
TEST = """
import time
from pathlib import Path
import pytest
from harness.faults import Clock, Cut, Power

@pytest.mark.topology("plain")
def test_borrows(lab):
    Path(f"{lab.name}.begun").touch()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with lab.capture("host-2:lan"), lab.fault(Cut("host-1:lan")), lab.without_management():
            lab["host-1"].run("true")
        with lab.fault(Power("router"), Cut("host-2:lan")):
            lab["host-1"].run("true")
        with lab.fault(Clock("host-1", offset=-3600)):
            lab["host-2"].power.cycle()
"""

# As execnet starts it. The brackets keep this search from finding itself.
KILL_AGENTS = """
for file in $(grep -ls 'sys[.]stdin[.]readline' /proc/[0-9]*/cmdline); do
    pid=${file#/proc/}; kill -KILL "${pid%/cmdline}" 2>/dev/null && found=1
done
[ "$found" ]
"""


@dataclass
class Life:
    """One lab's, from kill to kill. What it did is told when something goes wrong."""

    name: str
    kind: str
    generator: random.Random
    folder: Path
    story: list[str] = field(default_factory=list)

    def start(self, phase: str) -> subprocess.Popen[str]:
        command = {
            "up": ["harness.cli", "up", "plain", "--name", self.name, "--host", self.kind],
            "down": ["harness.cli", "down", self.name],
            "test": ["pytest", "-q", "-p", "no:cacheprovider", "--lab", self.name, "test_borrows.py"],
        }[phase]
        with (self.folder / f"{self.name}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command], stdout=log, stderr=log, text=True, cwd=self.folder,
                start_new_session=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONFAULTHANDLER": "1"},
            )  # fmt: skip

    def end(self, process: subprocess.Popen[str]) -> int:
        """Its status. One that hangs says where."""
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            pytest.fail(f"{self.told()}\n{self.name} hangs")

    def said(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def do(self, command: str) -> None:
        """A command that must succeed. A lab that was gone already needs no `down`."""
        status = self.end(self.start(command))
        self.story.append(f"{command}: {status}")
        if command == "down" and status == 1:
            assert f"there is no lab '{self.name}'" in self.said(), self.told()
        else:
            assert status == 0, self.told()

    def told(self) -> str:
        return "\n".join([f"{self.name}: {', '.join(self.story)}", self.said()])

    def kill(self, phase: str, victim: str) -> None:
        """Start something and kill somebody at some moment; what is started may end by itself before."""
        moment = self.generator.uniform(0, PHASES[self.kind][phase])
        self.story.append(f"{victim} killed {moment:.3f} s into {phase}")
        begun = self.folder / f"{self.name}.begun"
        begun.unlink(missing_ok=True)
        process = self.start(phase)
        if phase == "test":
            wait_for("the test to begin", lambda: process.poll() is not None or begun.exists(), SECONDS)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            wait_for(f"{victim} to be there", lambda: process.poll() is not None or self._hit(victim, process), SECONDS)
            self.end(process)
        self.story.append(str(process.returncode))

    def _hit(self, victim: str, process: subprocess.Popen[str]) -> bool:
        if victim == "labctl":
            process.kill()
        elif victim == "everybody":
            os.killpg(process.pid, signal.SIGKILL)
        elif victim == "host":
            outermost = keeper.find(place_of(self.name).folder)
            if outermost is None:
                return False
            os.kill(outermost, signal.SIGKILL)
        else:
            try:
                command = open_host(place_of(self.name)).command("/bin/sh", "-c", KILL_AGENTS)
            except HostError:
                return False
            if command[0] == "ssh":  # by a connection of its own
                command[1:1] = ["-o", "ControlPath=none"]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return True

    def goes_on(self) -> None:
        """The lab is whole, nothing is broken or borrowed."""
        with labs.attach(self.name) as lab:
            lab["host-1"].must_reach(HOST_2)
            assert lab.faults_in_effect() == [], self.told()
            assert abs(float(lab["host-1"].exec("date", "+%s")) - float(lab["host-2"].exec("date", "+%s"))) < 60
            inside = lab.host.command("/bin/sh", "-c", "grep -ls '^tcpdump' /proc/[0-9]*/cmdline")
            assert subprocess.run(inside, capture_output=True, text=True, check=False).stdout == "", self.told()

    def live(self, rounds: int) -> None:
        """A kill in each phase in turn, then what comes next."""
        for phase in islice(cycle(PHASES[self.kind]), rounds):
            self.kill(phase, self.generator.choice(VICTIMS))
            if phase == "down" and self.generator.random() < 0.5:
                self.do("down")
                assert traces(self.name) == [], self.told()
            else:
                self.do("up")
                self.goes_on()
        self.do("down")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of their own, with a path that is short enough for sockets."""
    made = Path(tempfile.mkdtemp(prefix="kill-"))
    monkeypatch.setenv("ELASTICLAB_STATE", str(made / "state"))
    (made / "test_borrows.py").write_text(TEST)
    yield made
    for lab in labs.known_labs():
        labs.down(lab.name)
    shutil.rmtree(made)


def side_by_side(folder: Path, kinds: Sequence[str], rounds: int, chance: random.Random) -> None:
    lives = [Life(kind, kind, random.Random(chance.getrandbits(62)), folder) for kind in kinds]
    with ThreadPoolExecutor(len(lives)) as pool:
        for outcome in [pool.submit(life.live, rounds) for life in lives]:
            outcome.result()
    for life in lives:
        print(f"{life.name}: {', '.join(life.story)}")
        assert traces(life.name) == [], life.told()
    assert list(labs_dir().iterdir()) == []
    wait_for("all interfaces of dead labs to be gone", lambda: not abandoned_interfaces(), Deadline(10))


def test_who_is_killed_at_any_moment_leaves_nothing_that_anybody_trips_over(
    folder: Path, chance: random.Random
) -> None:
    side_by_side(folder, ["local", "lab-kernel"], 3, chance)


@pytest.mark.exhaustive
def test_many_are_killed_at_any_moment_and_nobody_trips_over_anything(folder: Path, chance: random.Random) -> None:
    side_by_side(folder, ["local", "lab-kernel"], 15, chance)

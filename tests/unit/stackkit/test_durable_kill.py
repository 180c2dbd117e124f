"""What a saga promises when its process is killed, upgraded or cancelled: real processes, real SIGKILL."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stackkit

PROGRAM = Path(__file__).with_name("durable_program.py")


class Program:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "test.sqlite"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, action: str, version: str = "1") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(stackkit.__file__).parents[1])}
        argv = [sys.executable, str(PROGRAM), str(self.database), action, version]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
        self.processes.append(process)
        return process

    def run(self, action: str, version: str = "1") -> str:
        return self.start(action, version).communicate(timeout=30)[0].strip()

    def kill_at(self, place: str, action: str, version: str = "1") -> None:
        """Runs the program until it reaches the place, kills it, and opens the way for the next."""
        stop = self.folder / f"stop-at-{place}"
        stop.touch()
        process = self.start(action, version)
        self.until((self.folder / f"reached-{place}").exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
        stop.unlink()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, f"nothing came; effects: {self.effects}"
            time.sleep(0.01)  # the other process tells nobody

    def kill_while_held(self, version: str = "1") -> None:
        process = self.start("start", version)
        self.until(lambda: self.state() == "held")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def state(self) -> str:
        try:
            with sqlite3.connect(self.database) as connection:
                row = connection.execute("select state from durable_saga").fetchone()
        except sqlite3.OperationalError:
            return ""
        return row[0] if row else ""

    @property
    def effects(self) -> list[str]:
        file = self.folder / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def plug_in(self) -> None:
        (self.folder / "device").touch()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    yield program
    for process in program.processes:
        process.kill()
        process.wait()


def test_a_saga_killed_before_its_effect_does_it_once(program: Program) -> None:
    program.plug_in()
    program.kill_at("network-before", "start")
    assert program.run("resume") == "done"
    assert program.effects == ["do reserve", "do network"]


def test_a_saga_killed_after_its_effect_does_that_step_again_and_no_other(program: Program) -> None:
    """The journal cannot know that the effect came: that is why `do` must be idempotent."""
    program.plug_in()
    program.kill_at("network-after", "start")
    assert program.run("resume") == "done"
    assert program.effects == ["do reserve", "do network", "do network"]


def test_a_held_saga_goes_on_under_a_newer_version(program: Program) -> None:
    program.kill_while_held()
    program.plug_in()
    assert program.run("resume", "2") == "done"
    assert program.effects == ["do reserve", "do network", "do verify"]


def test_cancelled_while_held_undoes_once_what_was_begun_and_nothing_else(program: Program) -> None:
    program.kill_while_held()
    assert program.run("cancel") == "cancelled"
    assert program.effects == ["do reserve", "undo reserve reserve"]
    assert program.run("resume") == "cancelled"
    assert program.effects == ["do reserve", "undo reserve reserve"], "a saga that ended is left alone"


@pytest.mark.parametrize(("place", "times"), [("undo-reserve-before", 1), ("undo-reserve-after", 2)])
def test_killed_in_the_undo_it_is_finished_by_the_next_process(program: Program, place: str, times: int) -> None:
    program.kill_while_held()
    program.kill_at(place, "cancel")
    assert program.run("resume") == "cancelled"
    assert program.effects == ["do reserve"] + ["undo reserve reserve"] * times
    assert program.run("resume") == "cancelled"
    assert len(program.effects) == 1 + times


def test_undone_in_reverse_what_never_ended_without_evidence(program: Program) -> None:
    program.plug_in()
    program.kill_at("network-after", "start")
    # The step is let finish (its do comes again), then all is undone.
    assert program.run("cancel") == "cancelled"
    assert program.effects[-2:] in (
        ["undo network None", "undo reserve reserve"],
        ["undo network network", "undo reserve reserve"],
    )


def test_an_undone_step_stays_undone_when_the_next_undo_is_killed(program: Program) -> None:
    program.plug_in()
    program.kill_at("network-after", "start")
    program.kill_at("undo-reserve-before", "cancel")
    assert program.run("resume") == "cancelled"
    assert sum(line.startswith("undo network") for line in program.effects) == 1
    assert program.effects[-1] == "undo reserve reserve"

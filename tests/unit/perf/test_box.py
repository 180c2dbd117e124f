"""What a program has cost so far, read from a process that is really there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from harness.wait import wait_for
from perf import box

# Busy for a fifth of a second, with memory of its own.
_BUSY = """
import sys, time
held = bytearray(b"x") * (32 << 20)
while time.process_time() < 0.2:
    pass
print("there", flush=True)
sys.stdin.read()
"""


@contextmanager
def busy(folder: Path) -> Iterator[subprocess.Popen[str]]:
    (folder / "busy_for_a_while.py").write_text(_BUSY)
    argv = [sys.executable, "-m", "busy_for_a_while"]
    with subprocess.Popen(argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "there\n"
            yield child
        finally:
            assert child.stdin
            child.stdin.close()


def test_a_process_tells_when_it_began_and_what_it_took(tmp_path: Path) -> None:
    before = time.time()
    with busy(tmp_path) as child:
        place = box.process("busy_for_a_while")
        assert place.name == str(child.pid)
        assert before - 0.05 <= box.began(place) <= before + 5
        assert 0.15 <= box.processor(place) <= 3
        assert 32 <= box.memory(place) <= 96


def test_a_program_that_runs_twice_or_not_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"one process should be python -m busy_for_a_while, not \[\]"):
        box.process("busy_for_a_while")
    with busy(tmp_path) as one, busy(tmp_path) as other:
        with pytest.raises(LookupError, match=r"not \['\d+', '\d+'\]"):
            box.process("busy_for_a_while")
        other.kill()
        wait_for("the other to end", lambda: other.poll() is not None, 5)
        assert box.process("busy_for_a_while").name == str(one.pid)


def test_what_was_said_before_the_start_or_a_second_time_does_not_count() -> None:
    start = datetime(2026, 11, 23, 10, 0, 0).astimezone().timestamp()
    lines = [
        "2026-11-23_09:59:59.00000 2026-11-23 09:59:59,000 INFO element: serving",  # of the run before
        "2026-11-23_10:00:01.90000 2026-11-23 10:00:01,250 INFO element: applied",  # written later
        "2026-11-23_10:00:02.00000 applied, says a line that has no time of its own",
        "2026-11-23_10:00:02.00000",
        "",
        "2026-11-23_10:00:02.50000 2026-11-23 10:00:02,500 INFO element: serving",
        "2026-11-23_10:00:09.00000 2026-11-23 10:00:09,000 INFO element: applied",
    ]
    assert box.said(lines, ["serving", "applied"], start) == [2.5, 1.25]
    with pytest.raises(LookupError, match=r"does not say \['gone'\]"):
        box.said(lines, ["serving", "gone"], start)

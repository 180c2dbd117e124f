"""asyncio beside gevent: neither waits for the other."""

from __future__ import annotations

import subprocess
import sys

from harness.paths import REPOSITORY

# In a process of its own: gevent's loop stays with the thread that had it.
BESIDE = """
import asyncio, time, gevent
from perf.load.loop import Beside

beside = Beside()
ticks, heard, blocked = [], [], []

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

async def work(number):
    begun = time.monotonic()
    time.sleep(0.4)                     # blocks asyncio's loop, and nothing else
    blocked.append((begun, time.monotonic()))
    beside.say(lambda: heard.append(number))
    await asyncio.sleep(0 if number < 2 else 3600)

gevent.spawn(tick)
for number in range(3):
    beside.begin(work(number))
assert beside.wait(asyncio.sleep(0, "done")) == "done"
late = beside.drain(0.3)
assert late == 1, late
assert heard == [0, 1, 2], heard
assert len(blocked) == 3, blocked
# On a busy machine some ticks are late; a loop that is held up has none at all.
assert all(any(begun < tick < ended for tick in ticks) for begun, ended in blocked), "gevent's loop was held up"
beside.close()
print("whole")
"""
PATCHED = "from gevent import monkey; monkey.patch_all(); from perf.load.loop import Beside; Beside()"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_neither_loop_holds_up_the_other() -> None:
    done = python(BESIDE)
    assert done.stdout == "whole\n", done.stderr


def test_threads_that_are_none_are_refused() -> None:
    done = python(PATCHED)
    assert "gevent has replaced threads" in done.stderr

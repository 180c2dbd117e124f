"""Orders that come and go, again and again: nothing is left behind, nothing gets slower, nothing grows (robustness)."""

from __future__ import annotations

import statistics
import time

import pytest

from harness.lab import Lab
from tests.system.lifecycle import HOSTS, Life
from tests.system.traces import BOXES, Json

pytestmark = pytest.mark.topology("demo", orders=False)

SECONDS = 60
SLOWER = 1.5
"""The last quarter's shortest beside the first's: a machine that is shared is that uneven by itself."""
GROWN = 1.15
"""Memory after the last cycle beside that after the first quarter."""
_PROGRAMS = {"stack": "identity manager controller gro portal", **dict.fromkeys(BOXES, "element charon")}
_LOOK = "for name in $0; do pid=$(cat /etc/service/$name/supervise/pid); echo $name $pid $(ps -o rss= -p $pid); done"


def memory(lab: Lab) -> dict[str, int]:
    """Resident memory of each program of ours and of charon, KiB; one that was started anew is another."""
    found = {}
    for node, names in _PROGRAMS.items():
        for line in lab[node].exec("sh", "-c", _LOOK, names).splitlines():
            name, pid, rss = line.split()
            found[f"{node}: {name}, process {pid}"] = int(rss)
    return found


def cycle(life: Life) -> float:
    """From the order until traffic passes, and from its end until all is gone; seconds."""
    begun = time.monotonic()
    life.completed(life.place(), SECONDS)
    life.lab["host-1"].must_reach(HOSTS["host-2"])
    life.completed(life.end(), SECONDS)
    spent = time.monotonic() - begun
    life.lab["host-1"].must_not_reach(HOSTS["host-2"], 0.2)
    return spent


@pytest.mark.parametrize("cycles", [12, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_cycles_leave_nothing_and_get_no_slower(life: Life, nothing: dict[str, Json], cycles: int) -> None:
    quarter = cycles // 4
    spent = [cycle(life) for _ in range(quarter)]
    before = memory(life.lab)
    spent += [cycle(life) for _ in range(cycles - quarter)]
    after = memory(life.lab)
    print(f"{cycles} cycles: {statistics.median(spent):.2f} s median, {max(spent):.2f} s longest; memory {after}")
    life.left_nothing(nothing)
    assert before.keys() == after.keys(), "a program was started anew"
    grown = {name: (before[name], kib) for name, kib in after.items() if kib > before[name] * GROWN}
    assert grown == {}
    first, last = min(spent[:quarter]), min(spent[-quarter:])
    assert last <= first * SLOWER, f"the first {quarter} cycles took {first:.2f} s at least, the last {last:.2f} s"

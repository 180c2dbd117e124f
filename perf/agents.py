"""What the agent of a box costs: time until it answers, processor and memory, beside an interpreter that does nothing.

Read in a box of a lab that is up (`perf.box`); nothing is restarted for it. The interpreter starts when all is quiet,
the agent starts with those of all other boxes.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.lab import Node, attach
from perf import box
from perf.statistics import Comparison, Series

# As its service starts it (images/element/rootfs/etc/sv/element/run), and what it says when it does its first thing to
# the box, its models loaded, and when it has credentials and answers.
PROGRAM = ("/opt/element/bin/python", "element")
MARKS = ("element.apply", "serving NETCONF")

_STARTS = 5
# By the shell's clock: the interpreter's own does not know how long it took to get there.
_BARE = """began=$(date +%s.%N)
exec "$0" -I -c '
import sys, time
words = open("/proc/self/smaps_rollup").read().split()
print(time.time() - float(sys.argv[1]), time.process_time(), int(words[words.index("Pss:") + 1]) / 1024)' "$began"
"""


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds until it was as far as each mark, those of a processor so far, and MiB (PSS)."""

    seconds: tuple[float, ...]
    processor: float
    memory: float


@dataclass(frozen=True)
class Seen:
    """In one box at one moment."""

    agent: Cost
    bare: Cost


def look(lab: str, name: str) -> Seen:
    """A box of a running lab. Raises CommandError: its agent is not as it is known here."""
    with attach(lab) as there:
        node = there[name]
        return Seen(_agent(node), bare(node))


def _agent(node: Node) -> Cost:
    interpreter, program = PROGRAM
    argv = [interpreter, "-I", "-", program, *MARKS]
    told = json.loads(node.exec(*argv, stdin=Path(box.__file__).read_text(), timeout=60))
    return Cost(tuple(told["seconds"]), told["processor"], told["memory"])


def bare(node: Node) -> Cost:
    """The median of some: a moment's wait would be half of one."""
    said = [map(float, node.exec("/bin/sh", "-euc", _BARE, PROGRAM[0]).split()) for _ in range(_STARTS)]
    seconds, processor, memory = map(statistics.median, zip(*said, strict=True))
    return Cost((seconds,), processor, memory)


def comparisons(where: str, seen: Sequence[Seen]) -> list[Comparison]:
    """Of one box in all rounds."""
    agent, alone = [one.agent for one in seen], [one.bare for one in seen]
    start = [one.seconds[0] for one in alone]
    told = [
        ("first thing done", [one.seconds[0] for one in agent], start, "s"),
        ("answers over NETCONF", [one.seconds[1] for one in agent], start, "s"),
        ("processor", [one.processor for one in agent], [one.processor for one in alone], "s"),
        ("memory", [one.memory for one in agent], [one.memory for one in alone], "MiB"),
    ]
    return [
        Comparison(
            f"a box's agent, {where}: {what}", Series.of(ours), Series.of(floor),
            against="a bare interpreter", unit=unit,
        )
        for what, ours, floor, unit in told
    ]  # fmt: skip

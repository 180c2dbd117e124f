"""What the orchestrator's components and the programs of the boxes hold: memory and descriptors, process by process."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.lab import Lab, Node

# A line for each: pid, descriptors, Rss and Pss in KiB, command line. Only programs that run for as long as the node.
_LOOK = r"""
for place in /proc/[0-9]*; do
  said=$(tr '\0' ' ' < $place/cmdline) 2>/dev/null
  case "${said%% *}" in
    */bin/python | */charon)
      set -- $place/fd/*
      held=$(awk '/^[RP]ss:/ { printf "%s ", $2 }' $place/smaps_rollup)
      [ -z "$held" ] || echo "${place#/proc/} $# $held $said" ;;
  esac
done
"""


@dataclass(frozen=True)
class Sample:
    """Of one process: seconds since the watch began, KiB."""

    at: float
    pid: int
    resident: int
    proportional: int
    descriptors: int


class Watch:
    """Of the nodes that have a program of ours: boxes and the orchestrator."""

    def __init__(self, lab: Lab) -> None:
        nodes = lab.topology.nodes
        self._nodes = [one for name, one in lab.nodes.items() if nodes[name].personality or nodes[name].role == "stack"]
        self._begun = time.monotonic()
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)

    def look(self) -> None:
        """A sample of each process."""
        at = time.monotonic() - self._begun
        with ThreadPoolExecutor(2) as pool:
            for node, lines in zip(self._nodes, pool.map(_said, self._nodes), strict=True):
                for line in lines:
                    name, sample = read(at, line)
                    self.samples[f"{node.name} {name}"].append(sample)


def _said(node: Node) -> list[str]:
    return node.run("/bin/sh", "-c", _LOOK, timeout=60).stdout.splitlines()


def read(at: float, line: str) -> tuple[str, Sample]:
    """The program's name, and what it holds."""
    pid, descriptors, resident, proportional, *argv = line.split()
    name = argv[argv.index("-m") + 1] if "-m" in argv else argv[0].rpartition("/")[2]
    return name, Sample(at, int(pid), int(resident), int(proportional), int(descriptors))

"""What the orchestrator's components and the programs of the boxes hold: memory and descriptors, process by process."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.host.channel import AgentError
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
        self.missed: list[str] = []
        """Looks at a node that came to nothing, each with its reason: one among hundreds must not end an hour."""

    def begin(self) -> None:
        """The clock of the samples begins."""
        self._begun = time.monotonic()

    def look(self) -> None:
        """A sample of each process."""
        at = time.monotonic() - self._begun
        with ThreadPoolExecutor(2) as pool:
            for node, said in [(node, pool.submit(_said, node)) for node in self._nodes]:
                try:
                    lines = said.result()
                except AgentError as error:
                    self.missed.append(f"{at:.0f} s: {node.name}: {error}")
                    continue
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

"""Steady traffic while something happens to the way: how much of it was lost, and for how long at a time."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.lab import Lab, Node
from harness.wait import wait_for
from tests.scenarios.background import until_ended

INTERVAL = 0.05
"""Seconds between two echo requests unless told otherwise, and so how exactly an outage is told."""
_ANSWER = re.compile(r"^\[(\d+\.\d+)\].* icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms", re.MULTILINE)
_SENT = re.compile(r"(\d+) packets transmitted")


@dataclass(frozen=True)
class Answer:
    """To the echo request of this number: when it came, and how long it took, in seconds."""

    moment: float
    number: int
    took: float


def answers(said: str) -> list[Answer]:
    """Of what `ping -D` says, in the order in which they came."""
    return [Answer(float(at), int(number), float(took) / 1000) for at, number, took in _ANSWER.findall(said)]


class Echoes:
    """Echo requests at a steady pace; complete once its `with` block has ended."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.sent = 0
        self.answers: list[Answer] = []
        self.span = (0.0, 0.0)
        """When the first was sent and the last answer was waited for."""

    @property
    def lost(self) -> int:
        return self.sent - len(self.answers)

    @property
    def steady(self) -> bool:
        """Was asked all the time? At a quarter of the pace at least: a node's clock may tick each 10 ms only. How many
        that are is not said: it may be over in half a second."""
        begun, ended = self.span
        return self.sent > max(10, (ended - begun) / self.interval / 4)

    @property
    def outage(self) -> float:
        """The longest time in seconds for which the way gave nothing back.

        Where a request was lost, from the answer before to the one after; where none was, what a queue on the way held
        back. That ping itself asked late is not the way's.
        """
        ends = (Answer(self.span[0], 0, 0.0), *self.answers)
        gaps = [
            after.took if after.number <= before.number + 1 else after.moment - before.moment
            for before, after in itertools.pairwise(ends)
        ]
        last = max(ends, key=lambda answer: answer.number)
        return max([*gaps, self.span[1] - last.moment if last.number < self.sent else 0.0])

    def __repr__(self) -> str:
        return f"<{self.lost} of {self.sent} lost, {self.outage:.2f} s without an answer>"


@contextlib.contextmanager
def echoes(node: Node, target: str, interval: float = INTERVAL) -> Iterator[Echoes]:
    """Ask `target` at this pace for the length of a `with` block; the last answer may be on its way when it ends."""
    file = f"/tmp/echoes-{target}"
    seen = Echoes(interval)
    seen.span = (_clock(node), 0.0)
    ping = f"setsid ping -n -D -i{interval:g} {target} >{file} 2>&1 & echo $!"
    process = node.sh(ping).strip()
    node.mark("load", f"asks {target} every {interval:g} s")
    try:
        yield seen
    finally:
        seen.span = (seen.span[0], _clock(node))
        time.sleep(2 * interval)  # for the last answer
        node.sh(f"kill -INT {process}; {until_ended(process)}")
        said = node.sh(f"cat {file}; rm {file}")
        if found := _SENT.search(said):
            seen.sent = int(found[1])
        seen.answers = answers(said)
        node.mark("load", f"asked {target}: {seen}")
        print(f"{node.name} asks {target}: {seen}")


def _clock(node: Node) -> float:
    return float(node.sh("date +%s.%N"))


@dataclass(frozen=True)
class Session:
    """What became of one TCP connection: octets that arrived, and its longest standstill in seconds."""

    octets: int
    standstill: float


@contextlib.contextmanager
def tcp_session(lab: Lab, source: str, target: str, address: str, seconds: int) -> Iterator[list[Session]]:
    """One TCP connection that sends 5 Mbit/s for that many seconds, begun before the `with` block and ended after it.
    What became of it is in the list then; a connection that breaks fails the test.
    """
    outcome: list[Session] = []
    file = "/tmp/session"
    lab[target].exec("iperf3", "--server", "--one-off", "--daemon")
    lab.wait_until(target, "tcp:5201", 20)
    command = f"iperf3 --client {address} --time {seconds} --bitrate 5M --interval 0.1 --json"
    process = lab[source].sh(
        f"rm -f {file}; (setsid {command} >{file}.part; mv {file}.part {file}) >/dev/null 2>&1 & echo $!"
    )
    try:
        wait_for("the session to run", lambda: _runs(lab[source]), 20)
        lab[source].mark("load", f"one TCP connection to {address} at 5 Mbit/s for {seconds} s")
        yield outcome
        wait_for("the session to end", lambda: lab[source].run("test", "-e", file).ok, seconds + 20)
        outcome.append(_session(lab[source].exec("cat", file)))
        lab[source].mark("load", f"the TCP connection to {address}: {outcome[0]}")
        print(f"{source} sends to {target}: {outcome[0]}")
    finally:
        for node in (source, target):
            lab[node].run("pkill", "-x", "iperf3")
        lab[source].run("kill", process.strip())


def _runs(node: Node) -> bool:
    return node.run("sh", "-c", "ss -Htn state established dport = :5201 | grep -q .").ok


def _session(said: str) -> Session:
    report = json.loads(said)
    assert "error" not in report, report["error"]
    longest = current = 0.0
    for interval in report["intervals"]:
        current = 0.0 if interval["sum"]["bytes"] else current + interval["sum"]["seconds"]
        longest = max(longest, current)
    sent, received = report["end"]["sum_sent"]["bytes"], report["end"]["sum_received"]["bytes"]
    assert sent - received < 1_000_000, f"{sent - received} octets of a TCP session did not arrive"
    return Session(received, longest)

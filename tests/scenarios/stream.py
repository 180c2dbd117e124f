"""A steady stream of numbered UDP packets between two hosts, counted one by one where it arrives.

Both ends are one program that runs in a node on nothing but Python's standard library. The sender sends what is due by
the clock: a node that was kept waiting makes up for it, but for no more than 50 ms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from harness.lab import Lab
from harness.wait import wait_for

_PORT = 40000
_SEND = """
import signal, socket, sys, time
address, port, rate, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
out = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.SOL_SOCKET, 32, 1 << 22)  # SO_SNDBUFFORCE
out.connect((address, port))
padding = bytes(size - 16)
sent, refused, start = 0, 0, time.monotonic()
while going:
    due = int((time.monotonic() - start) * rate)
    if due - sent > rate / 20:  # a burst that no queue holds would be a loss of ours
        start += (due - sent) / rate - 0.05
        due = sent + rate // 20
    while sent < due:
        try:
            out.send(sent.to_bytes(8) + time.time_ns().to_bytes(8) + padding)
        except OSError:
            refused += 1
        sent += 1
    time.sleep(0.002)
print(sent, refused, flush=True)
"""
_RECEIVE = """
import json, signal, socket, sys, time
port = int(sys.argv[1])
into = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
into.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
into.bind(("::", port))
into.settimeout(0.2)
seen, late, highest, gap, last, going = bytearray(), 0, -1, 0.0, None, True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
print("ready", file=sys.stderr, flush=True)
while True:
    try:
        packet = into.recv(2048)
    except TimeoutError:
        if going:
            continue
        break
    now = time.monotonic()
    if last is not None:
        gap = max(gap, now - last)
    last = now
    number = int.from_bytes(packet[:8])
    if number >= len(seen):
        seen.extend(bytes(number + 4096 - len(seen)))
    seen[number] = min(seen[number] + 1, 255)
    if number < highest:
        late += 1
    highest = max(highest, number)
lost, start = [], None
for number in range(highest + 2):
    missing = number <= highest and not seen[number]
    if missing and start is None:
        start = number
    elif not missing and start is not None:
        lost.append([start, number - start])
        start = None
doubled = [n for n in range(highest + 1) if seen[n] > 1]
print(json.dumps({"highest": highest, "gaps": lost, "doubled": doubled, "late": late, "pause": gap}), flush=True)
"""


@dataclass
class Stream:
    """One direction, and what has become of it once the block is over."""

    source: str
    target: str
    sent: int = 0
    refused: int = 0
    received: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Packets that never came: the first one's number, and how many in a row."""
    doubled: list[int] = field(default_factory=list)
    late: int = 0
    """Packets that came after a later one."""
    pause: float = 0.0
    """Seconds between two arrivals, at most."""

    @property
    def lost(self) -> int:
        """How many never came."""
        return self.sent - self.received

    def __str__(self) -> str:
        return (
            f"{self.source} to {self.target}: {self.sent} sent, {self.lost} lost {self.gaps}, {self.refused} refused,"
            f" {len(self.doubled)} doubled, {self.late} late, longest pause {self.pause * 1000:.0f} ms"
        )


@contextmanager
def streams(lab: Lab, *ways: tuple[str, str, str], rate: int = 2000, size: int = 200) -> Iterator[list[Stream]]:
    """Within the block packets go each way: from a host to a host with an address. The counts are there after it."""
    made = [Stream(source, target) for source, target, _ in ways]
    with ExitStack() as running:
        receivers, senders = [], []
        for port, (source, target, address) in enumerate(ways, _PORT):
            receivers.append(running.enter_context(_program(lab, target, f"in-{port}", _RECEIVE, str(port))))
            lab[source].must_reach(address)  # what is asked for once (ARP) is no loss
        for port, ((source, _, address), receiver) in enumerate(zip(ways, receivers, strict=True), _PORT):
            wait_for(f"{receiver.stem} on {receiver.node} to listen", receiver.listens, 10)
            how = (address, str(port), str(rate), str(size))
            senders.append(running.enter_context(_program(lab, source, f"out-{port}", _SEND, *how)))
            lab[source].mark("load", f"{rate} packets/s of {size} octets to {address}")
        yield made
        for stream, sender, receiver in zip(made, senders, receivers, strict=True):
            stream.sent, stream.refused = (int(word) for word in sender.end().split())
            found = json.loads(receiver.end())
            stream.gaps = [(first, count) for first, count in found["gaps"]]
            if found["highest"] + 1 < stream.sent:
                stream.gaps.append((found["highest"] + 1, stream.sent - found["highest"] - 1))
            stream.received = stream.sent - sum(count for _, count in stream.gaps)
            stream.doubled, stream.late, stream.pause = found["doubled"], found["late"], found["pause"]
            lab[stream.source].mark("load", f"{stream}")


def carried(seconds: float) -> None:
    """Let the streams run for so long: what is measured, and no wait for anything."""
    end = time.monotonic() + seconds
    wait_for(f"{seconds:g} s of load", lambda: time.monotonic() >= end, seconds + 5)


@dataclass
class _Program:
    lab: Lab
    node: str
    stem: str
    pid: str

    def end(self) -> str:
        """Tell it to stop; what it has to say."""
        self.lab[self.node].exec("kill", "-TERM", self.pid)
        wait_for(f"{self.stem} on {self.node} to end", lambda: self._said() != "", 10)
        return self._said()

    def listens(self) -> bool:
        """Does the receiver take packets?"""
        return self.lab[self.node].run("grep", "-q", "ready", f"/tmp/{self.stem}.log").ok

    def _said(self) -> str:
        return self.lab[self.node].run("cat", f"/tmp/{self.stem}.json").stdout


@contextmanager
def _program(lab: Lab, node: str, stem: str, source: str, *arguments: str) -> Iterator[_Program]:
    """A program in the background of a node."""
    lab[node].run("tee", f"/tmp/{stem}.py", stdin=source).check()
    words = " ".join(arguments)
    files = f">/tmp/{stem}.json 2>/tmp/{stem}.log </dev/null"
    pid = lab[node].sh(f"rm -f /tmp/{stem}.json; setsid python3 /tmp/{stem}.py {words} {files} & echo $!").strip()
    try:
        yield _Program(lab, node, stem, pid)
    finally:
        lab[node].run("kill", "-KILL", pid)
        lab[node].run("sh", "-c", f"rm -f /tmp/{stem}.*")

"""Counting datagrams between two nodes: what was sent, what came, when and in which order.

All of it happens in the nodes' own namespaces. A datagram carries its number; a drop in transit is no error for whoever
sends it, so what is missing was lost on the way.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.lab import Lab, Node

_RECEIVE = """
import json, os, socket, sys, time
port, size, quiet = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE: what waits to be read is not lost
receiver.bind(("", port))
open(f"/run/receives-{port}", "w").close()
receiver.settimeout(quiet)
numbers, first, last = [], None, None
while True:
    over = os.path.exists(f"/run/sent-{port}")
    try:
        data = receiver.recv(65535)
    except TimeoutError:
        if over:
            break
        continue
    last = time.monotonic()
    if first is None:
        first = last
    numbers.append(int.from_bytes(data[:4], "big"))
print(json.dumps({"numbers": numbers, "first": first, "last": last}))
"""
_SEND = """
import socket, sys, time
target, port, count, size, gap = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((target, port))
rest = bytes(size - 4)
begun = time.monotonic()
for number in range(count):
    if gap:
        while time.monotonic() < begun + number * gap:
            time.sleep(0)
    sender.send(number.to_bytes(4, "big") + rest)
print(time.monotonic() - begun)
"""
HEADERS = 42
"""Octets of Ethernet, IPv4 and UDP in a frame."""


@dataclass(frozen=True)
class Arrived:
    """Numbers of the datagrams that came, in the order in which they came."""

    sent: int
    numbers: list[int]
    seconds: float
    """From the first that came to the last."""

    @property
    def lost(self) -> float:
        """Percent of what was sent that never came."""
        return 100 * (1 - len(set(self.numbers)) / self.sent)

    @property
    def twice(self) -> float:
        """Percent of what was sent that came more than once."""
        return 100 * sum(times > 1 for times in Counter(self.numbers).values()) / self.sent

    @property
    def late(self) -> float:
        """Percent of what was sent that came after one that was sent behind it."""
        highest, late = -1, 0
        for number in self.numbers:
            late += number < highest
            highest = max(highest, number)
        return 100 * late / self.sent


def sent(
    lab: Lab, source: str, target: str, count: int, *, size: int = 64, gap: float = 0, quiet: float = 0.25
) -> Arrived:
    """Send `count` datagrams of `size` octets from node to node, one each `gap` seconds or as fast as it goes.

    The receiver gives up when all are sent and nothing has come for `quiet` seconds since.
    """
    port = random.randrange(20000, 30000)  # noqa: S311 - no secret
    far = lab[target]
    address = json.loads(far.exec("ip", "-j", "-4", "address", "show", "dev", "lan"))[0]["addr_info"][0]["local"]
    # While a neighbour's address is asked for, whoever sends keeps a few frames and throws the others away.
    lab[source].run("ping", "-n", "-q", "-c2", "-i0.1", "-W1", address)
    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(far.run, "python3", "-c", _RECEIVE, str(port), str(size), str(quiet), timeout=90)
        lab.wait_until(target, f"file:/run/receives-{port}", 20)
        try:
            lab[source].exec("python3", "-c", _SEND, address, str(port), str(count), str(size), str(gap), timeout=60)
        finally:
            far.exec("touch", f"/run/sent-{port}")
        found = json.loads(receiving.result().check().stdout)
    return Arrived(count, found["numbers"], (found["last"] or 0) - (found["first"] or 0))


def spread(percent: float, count: int) -> float:
    """How far a share of `count` may be from `percent` by chance, in all but 0.006 % of cases (four deviations)."""
    share = percent / 100
    return 400 * math.sqrt(share * (1 - share) / count)


def round_trips(node: Node, address: str, count: int = 20, gap: float = 0.01) -> list[float]:
    """Milliseconds of each echo that came back."""
    said = node.run("ping", "-n", f"-c{count}", f"-i{gap}", "-W2", address, timeout=60).stdout
    return [float(line.split("time=")[1].split()[0]) for line in said.splitlines() if "time=" in line]

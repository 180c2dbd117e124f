"""Connections whose two ends are the same with several tenants, held at the same time: a server, and who calls it.

Each caller tells its name and is told it again; then one resets its connection, and the others are asked whether they
are still there. The server goes on only when it is told to, so that there is time to look at what the boxes hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.lab import Lab, Node

PORT, SOURCE_PORT = 7777, 40000
_SECONDS = 60
_SERVE = f"""
import json, os, socket, sys, time
address, count, resets = sys.argv[1], int(sys.argv[2]), sys.argv[3]
listener = socket.create_server((address, {PORT}), backlog=64)
listener.settimeout({_SECONDS})
there = {{}}
while len(there) < count:
    connection, source = listener.accept()
    connection.settimeout({_SECONDS})
    stream = connection.makefile("rw", buffering=1)
    if who := stream.readline().strip():  # not of whoever only looked whether somebody listens
        there[who] = (stream, source)
open("/run/calls/here", "w").close()
end = time.monotonic() + {_SECONDS}
while not os.path.exists("/run/calls/go-on") and time.monotonic() < end:
    time.sleep(0.05)
for who, (stream, _) in there.items():
    print(who, file=stream)
reset = False
if resets in there:
    try:
        assert there[resets][0].readline() == "", resets + " said more"
    except ConnectionResetError:
        reset = True
alive = []
for who, (stream, _) in there.items():
    if who != resets:
        print("still there?", file=stream)
        assert stream.readline().strip() == who
        alive.append(who)
found = {{"reset": reset, "alive": alive, "sources": [list(source) for _, source in there.values()]}}
with open("/run/calls/said.part", "w") as said:
    json.dump(found, said)
os.rename("/run/calls/said.part", "/run/calls/said")
"""
_CALL = f"""
import socket, struct, sys
who, device, source, target, resets = sys.argv[1:]
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind((source, {SOURCE_PORT}))
sock.settimeout({_SECONDS})
sock.connect((target, {PORT}))
stream = sock.makefile("rw", buffering=1)
print(who, file=stream)
answer = stream.readline().strip()
assert answer == who, "the answer to " + (answer or "nobody")
if who == resets:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST
else:
    assert stream.readline().strip() == "still there?"
    print(who, file=stream)
    assert stream.readline() == ""
stream.close()
sock.close()
"""


@dataclass(frozen=True)
class Server:
    """The server of some callers, while it runs."""

    lab: Lab
    node: str

    def until_called(self) -> None:
        """All have called and hold their connections."""
        self.lab.wait_until(self.node, "file:/run/calls/here", _SECONDS)

    def go_on(self) -> None:
        self.lab[self.node].exec("touch", "/run/calls/go-on")

    def result(self) -> Any:
        """Whether the one `reset`, whose connections are `alive` after that, and the `sources` of all."""
        self.lab.wait_until(self.node, "file:/run/calls/said", _SECONDS)
        return json.loads(self.lab[self.node].exec("cat", "/run/calls/said"))


@contextmanager
def serving(lab: Lab, node: str, address: str, count: int, resets: str) -> Iterator[Server]:
    """A server for so many callers."""
    box = lab[node]
    box.sh("rm -rf /run/calls; mkdir /run/calls")
    box.exec("tee", "/run/calls/serve.py", stdin=_SERVE)
    program = f"python3 /run/calls/serve.py {address} {count} {resets}"
    process = box.sh(f"setsid {program} </dev/null >/run/calls/log 2>&1 & echo $!").strip()
    try:
        lab.wait_until(node, f"tcp:{PORT}", 10)
        yield Server(lab, node)
    finally:
        box.run("kill", process)


def call(host: Node, who: str, device: str, source: str, target: str, resets: str) -> None:
    """A host calls, and stays until the server is through with it."""
    host.exec("python3", "-c", _CALL, who, device, source, target, resets, timeout=2 * _SECONDS)


@dataclass(frozen=True)
class Tracked:
    """A connection as a box holds it: its ends on its first packet, how answers come, and its tenant's zone."""

    first: tuple[str, ...]
    answers: tuple[str, ...]
    zone: int


def tracked(box: Node) -> list[Tracked]:
    """The connections of all callers that a box holds at this moment."""
    found = []
    # One that takes the fast path has no state there.
    for line in box.exec("conntrack", "-L", "-p", "tcp", "--orig-port-dst", str(PORT)).splitlines():
        if "ESTABLISHED" not in line and "[OFFLOAD]" not in line:
            continue
        ends = re.findall(r"\b(?:src|dst|sport|dport)=(\S+)", line)
        zone = re.search(r"\bzone(?:-orig)?=(\d+)", line)
        found.append(Tracked(tuple(ends[:4]), tuple(ends[4:]), int(zone[1]) if zone else 0))
    return found

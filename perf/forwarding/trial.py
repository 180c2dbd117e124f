"""One trial: frames are offered for some seconds, and those that come out at the other end are counted.

Counting is the kernel's: sets of nftables at the ingress of the interface count each port and drop what they counted,
before any program or the network stack sees it: whole frames, and both halves of those that come cut. Whoever is to
know how long frames are on their way sends a few more, to ports of their own, which a packet socket hears before they
are counted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path as File
from typing import Any

from harness.lab import Lab, Node
from harness.wait import wait_for
from perf.forwarding import frames, traffic
from perf.forwarding.path import COUNTED, TIMED, End, Path, PathError, mac_of

Json = Any
_PROGRAM = "/run/traffic.py"
_TABLE = "forwarding"
_OWN = "selftest"
_MORE = 60
"""Seconds that a program in a node may take beside what it was asked for."""
_SETTLED = 2.0
GAP = 0.001


@dataclass(frozen=True)
class Trial:
    """What was asked for, what left and what arrived: frames, of each flow."""

    seconds: float
    rate: float
    """Frames in a second that were asked for, in each direction; 0: as many as go."""
    offered: tuple[int, ...]
    received: tuple[int, ...]
    times: tuple[int, ...] = ()
    """Nanoseconds that timed frames were on their way."""
    timed: int = 0
    """Timed frames that left."""
    ahead: bool = False
    """Whether its senders waited for no other program."""

    @property
    def sent(self) -> int:
        return sum(self.offered)

    @property
    def lost(self) -> int:
        return self.sent - sum(self.received)

    @property
    def forwarded(self) -> float:
        """Frames in a second that came out."""
        return sum(self.received) / self.seconds


@dataclass(frozen=True)
class Counts:
    """Frames by port since `prepare`: whole ones, and halves of those that come cut."""

    whole: dict[int, int]
    first: dict[int, int]
    rest: dict[int, int]

    def since(self, before: Counts, port: int) -> int:
        """Frames that have come: of one that was cut, both halves."""
        whole, first, rest = (
            now[port] - was[port]
            for now, was in ((self.whole, before.whole), (self.first, before.first), (self.rest, before.rest))
        )
        return whole + min(first, rest)


def prepare(node: Node, interfaces: Sequence[str], here: str) -> None:
    """Count what comes in at these interfaces for addresses `here` from now on; again is anew."""
    node.exec("tee", _PROGRAM, stdin=_program())
    node.exec("nft", "-f", "-", stdin=_counting(interfaces, here))


def forget(*nodes: Node) -> None:
    """Nothing is counted there any more."""
    for node in nodes:
        node.run("nft", "delete", "table", "netdev", _TABLE)


@cache
def _program() -> str:
    return File(traffic.__file__).read_text(encoding="utf-8")


def _counting(interfaces: Sequence[str], here: str, table: str = _TABLE) -> str:
    """By port what has one; later fragments have none, and tell it by the packet's ID (`frames.udp`)."""
    ports = ", ".join(str(port) for port in (*COUNTED, *TIMED))
    named = ", ".join(f'"{name}"' for name in interfaces)
    return f"""
table netdev {table} {{}}
delete table netdev {table}
table netdev {table} {{
    set whole {{ type inet_service; counter; elements = {{ {ports} }}; }}
    set first {{ type inet_service; counter; elements = {{ {ports} }}; }}
    set rest {{ typeof ip id; counter; elements = {{ {ports} }}; }}
    chain ingress {{
        type filter hook ingress devices = {{ {named} }} priority 0;
        ip daddr {here} ip frag-off & 0x3fff == 0 udp dport @whole drop
        ip daddr {here} ip frag-off & 0x3fff == 0x2000 udp dport @first drop
        ip daddr {here} ip frag-off & 0x1fff != 0 ip id @rest drop
    }}
}}
"""


def counted(node: Node, table: str = _TABLE) -> Counts:
    said = json.loads(node.exec("nft", "-j", "list", "table", "netdev", table))["nftables"]
    sets = {one["set"]["name"]: one["set"]["elem"] for one in said if "set" in one}
    return Counts(**{
        name: {one["elem"]["val"]: one["elem"]["counter"]["packets"] for one in elements}
        for name, elements in sets.items()
    })  # fmt: skip


def program(node: Node, task: str, asked: Json, seconds: float) -> Json:
    """Run the program in a node; what it saw."""
    said = node.exec("python3", _PROGRAM, task, stdin=json.dumps(asked), timeout=seconds + _MORE)
    return json.loads(said)


def learn(lab: Lab, path: Path) -> None:
    """Send a frame from each port, and see who the Internet takes it for. Raises PathError."""
    both = range(COUNTED[0], TIMED[-1] + 1)
    with _hearing(lab, path.server, both) as heard:
        sent = {
            "interface": path.host.interface, "rate": 2000, "seconds": 0.05, "timed": None,
            "frames": [one.hex() for ports in (path.counted, path.timed) for one in path.frames("up", (64,), ports)],
        }  # fmt: skip
        program(path.host.node, "send", sent, 1)
    wanted = {*path.counted, *path.timed}
    path.seen = {
        int(port): (str(source), int(theirs))
        for port, (source, theirs) in heard["seen"].items() if int(port) in wanted
    }  # fmt: skip
    if len(path.seen) < 2 * len(path.flows):
        raise PathError(f"{path.name}: of {2 * len(path.flows)} flows up, {len(path.seen)} arrive")


@contextmanager
def _hearing(lab: Lab, end: End, ports: range) -> Iterator[Json]:
    """Hear while the context lasts; what was heard is there afterwards."""
    name = f"/run/hearing-{secrets.token_hex(4)}"
    asked = {
        "interface": end.interface, "first": ports[0], "last": ports[-1], "ready": f"{name}.ready", "until": name
    }  # fmt: skip
    found: Json = {}
    with ThreadPoolExecutor(1) as pool:
        hearing = pool.submit(program, end.node, "hear", asked, _MORE)
        try:
            lab.wait_until(end.node.name, f"file:{name}.ready", 20)
            yield found
        finally:
            end.node.exec("touch", name)
            found |= hearing.result()


def offer(
    lab: Lab, path: Path, ways: Sequence[str], sizes: Sequence[int], seconds: float, rate: float = 0, *,
    timed: bool = False, until: str = "",
) -> Trial:  # fmt: skip
    """A trial in one direction, or in both at once with `rate` in each. Those of the first direction are timed.
    A file `until` in the sender ends it before.
    """
    if "down" in ways:
        learn(lab, path)  # what a translation saw only one way it forgets within half a minute
    ends = [path.ends(way) for way in ways]
    before = [counted(receiver.node) for _, receiver in ends]
    asked = [{**_asked(path, way, sizes, seconds, rate, timed and way == ways[0]), "until": until} for way in ways]
    hearing: AbstractContextManager[Json] = _hearing(lab, ends[0][1], TIMED) if timed else nullcontext({})
    with hearing as heard, ThreadPoolExecutor(2) as pool:
        sending = [
            pool.submit(program, sender.node, "send", what, seconds)
            for (sender, _), what in zip(ends, asked, strict=True)
        ]
        done = [one.result() for one in sending]
    offered = [of_flows(said["sent"], len(path.flows)) for said in done]
    received = [
        arrived(receiver.node, path.counted, was, left)
        for (_, receiver), was, left in zip(ends, before, offered, strict=True)
    ]
    return Trial(
        max(said["seconds"] for said in done), rate, _sums(offered), _sums(received),
        tuple(heard.get("times", ())), done[0]["timed"], all(said["ahead"] for said in done),
    )  # fmt: skip


def _asked(path: Path, way: str, sizes: Sequence[int], seconds: float, rate: float, timed: bool) -> Json:
    flow = path.flows[0]
    return {
        "interface": path.ends(way)[0].interface,
        "frames": [one.hex() for one in path.frames(way, sizes, path.counted)],
        "rate": rate,
        "seconds": seconds,
        "timed": [one.hex() for one in path.frames(way, sizes, path.timed)] if timed else None,
        "stamp": frames.STAMP + (4 if flow.vlan and way == "up" else 0),
        "gap": GAP,
    }


def of_flows(sent: int, flows: int) -> tuple[int, ...]:
    """How many frames of each flow there are among the first `sent` of the pattern."""
    return tuple(sent // flows + (number < sent % flows) for number in range(flows))


def _sums(ways: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(flow) for flow in zip(*ways, strict=True))


def arrived(node: Node, ports: Sequence[int], before: Counts, left: tuple[int, ...]) -> tuple[int, ...]:
    """Frames to each port that came since, when all have or no more do."""
    last: tuple[int, ...] = ()

    def now() -> tuple[int, ...]:
        nonlocal last
        total = counted(node)
        came = tuple(total.since(before, port) for port in ports)
        settled = came in (left, last)
        last = came
        return last if settled else ()

    return wait_for(f"frames to stop coming to {node.name}", now, _SETTLED)


def self_test(node: Node, sizes: Sequence[int], seconds: float) -> float:
    """Frames in a second that are offered and counted with nothing between but a cable of its own (a veth pair)."""
    node.sh(f"ip link add {_OWN} type veth peer name {_OWN}-far && ip link set {_OWN} up && ip link set {_OWN}-far up")
    try:
        node.exec("tee", _PROGRAM, stdin=_program())
        node.exec("nft", "-f", "-", stdin=_counting([f"{_OWN}-far"], "192.0.2.2", _OWN))
        macs = mac_of(node, _OWN), mac_of(node, f"{_OWN}-far")
        pattern = [frames.udp(size, macs, ("192.0.2.1", COUNTED[0]), ("192.0.2.2", COUNTED[0])) for size in sizes]
        asked = {
            "interface": _OWN, "frames": [one.hex() for one in pattern], "rate": 0, "seconds": seconds, "timed": None
        }  # fmt: skip
        done = program(node, "send", asked, seconds)
        arrived = counted(node, _OWN).whole[COUNTED[0]]
    finally:
        node.sh(f"ip link delete {_OWN}; nft delete table netdev {_OWN}")
    return float(arrived / done["seconds"])

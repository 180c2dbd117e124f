"""What runs in the nodes: offers frames at a rate, and hears those that carry the time at which they left.

Standard library only; it is sent to the nodes as text. What it is to do comes as JSON on standard input, what it saw
leaves as JSON on standard output.

Frames are built once and lie in a ring that the kernel shares (PACKET_TX_RING); to send some of them is one assignment
over their states and one system call. That is what makes it cheap enough to share a processor with what it measures.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SOL_PACKET, PACKET_VERSION, PACKET_TX_RING, PACKET_QDISC_BYPASS, TPACKET_V2 = 263, 10, 13, 20, 1
PACKET_IGNORE_OUTGOING, ETH_P_ALL = 23, 3
SO_ATTACH_FILTER, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 26, 35, 33
SLOT = 2048
SLOTS = 3840
"""A multiple of all patterns: frame sizes (12 of IMIX) times flows (10), and of what fits into a block."""
BLOCK = 1 << 16
HEADER = 32
"""Octets of a slot before its frame."""
BATCH = 128
PAUSE = 0.0005
"""Seconds between two looks at the clock: frames that fall due in between leave together."""
LOOK = 0.05
"""Seconds between two looks for a file that ends it."""
MAGIC = b"elab"
QUIET = 0.1
"""Seconds of silence after which nothing more comes."""
STAMP = struct.Struct("!4sQ")


class Ring:
    """Frames that are ready to leave, in the order in which they do, again and again."""

    def __init__(self, interface: str, frames: list[bytes]) -> None:
        self.socket = _packet_socket(interface)
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self.socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("4I", BLOCK, SLOTS * SLOT // BLOCK, SLOT, SLOTS))
        memory = mmap.mmap(self.socket.fileno(), SLOTS * SLOT)
        for slot in range(SLOTS):
            frame = frames[slot % len(frames)]
            struct.pack_into("II", memory, slot * SLOT, 0, len(frame))
            begin = slot * SLOT + HEADER
            memory[begin : begin + len(frame)] = frame
        self.states = memoryview(memory).cast("I")[:: SLOT // 4]
        self.wanted = memoryview(array("I", [1] * BATCH))
        self.next = 0

    def send(self, count: int) -> int:
        """Up to so many frames; how many left. None while the kernel still has those of the last time around."""
        count = min(count, BATCH, SLOTS - self.next)
        last = self.next + count - 1
        if self.states[self.next] or self.states[last]:
            self._kick()
            return 0
        self.states[self.next : last + 1] = self.wanted[:count]
        self._kick()
        self.next = (last + 1) % SLOTS
        return count

    def _kick(self) -> None:
        try:
            self.socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):  # a queue is full: what is lost there is lost
                raise


def _packet_socket(interface: str, protocol: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    made.bind((interface, protocol))
    return made


def ahead_of_others() -> bool:
    """Wait for no other program of this machine, as nobody waits for them who sends from another one. Whether the
    kernel lets us.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    return True


def send(asked: Json) -> Json:
    """Offer frames for some seconds: `rate` in a second, ahead of all other programs, or beside them as many as go
    without one; a timed one each `gap`. They end before if the file `until` appears.
    """
    ahead = bool(asked["rate"]) and ahead_of_others()
    ring = Ring(asked["interface"], [bytes.fromhex(frame) for frame in asked["frames"]])
    rate, seconds = asked["rate"], asked["seconds"]
    timed = Timed(asked) if asked["timed"] else None
    wanted = int(rate * seconds) if rate else None
    until, look = Path(asked["until"]) if asked.get("until") else None, 0.0
    sent = 0
    begun = now = time.monotonic()
    while now < begun + seconds and (timed or wanted is None or sent < wanted):
        if until and now > look:
            look = now + LOOK
            if until.exists():
                break
        due = BATCH if wanted is None else min(wanted, int((now - begun) * rate) + 1) - sent
        left = ring.send(due) if due > 0 else 0
        sent += left
        if timed:
            timed.send_due(now)
        if not left:  # a ring that is full empties while others run
            time.sleep(0 if wanted is None else min(PAUSE, timed.until_due()) if timed else PAUSE)
        now = time.monotonic()
    if timed:
        timed.send_due(min(now, begun + seconds))
    while wanted is not None and 0 < wanted - sent <= BATCH and (left := ring.send(wanted - sent)):
        sent += left  # what fell due while the last batch was on its way
    return {"sent": sent, "seconds": time.monotonic() - begun, "timed": timed.sent if timed else 0, "ahead": ahead}


class Timed:
    """Frames that say when they were due, behind the others that left in that moment: whatever holds the generator
    up, waiting is waiting.
    """

    def __init__(self, asked: Json) -> None:
        self.socket = _packet_socket(asked["interface"])
        self.frames = [bytearray.fromhex(frame) for frame in asked["timed"]]
        self.at, self.gap = asked["stamp"], asked["gap"]
        self.due, self.sent = 0.0, 0

    def send_due(self, now: float) -> None:
        self.due = self.due or now
        while self.due <= now:
            frame = self.frames[self.sent % len(self.frames)]
            STAMP.pack_into(frame, self.at, MAGIC, time.time_ns() - int((time.monotonic() - self.due) * 1e9))
            with contextlib.suppress(BlockingIOError):
                self.socket.send(frame)
            self.sent += 1
            self.due += self.gap

    def until_due(self) -> float:
        """Seconds until the next one is."""
        return max(0.0, self.due - time.monotonic())


def hear(asked: Json) -> Json:
    """Collect what comes to UDP ports `first` to `last` until the file `until` is there and nothing more comes.

    Nanoseconds that each timed frame was on its way, by the kernel's own stamp of its arrival; and who sent to each
    port first, which is how the world sees a flow behind a translation.
    """
    heard = _packet_socket(asked["interface"], ETH_P_ALL)
    heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    heard.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    heard.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    _attach(heard, _to_ports(asked["first"], asked["last"]))
    heard.settimeout(QUIET)
    times: list[int] = []
    seen: dict[int, list[str | int]] = {}
    Path(asked["ready"]).touch()
    until = Path(asked["until"])
    while True:
        over = until.exists()
        try:
            frame, said, _, _ = heard.recvmsg(SLOT, 64)
        except TimeoutError:
            if over:
                break
            continue
        begin = 14 + 4 * (frame[14] & 15)
        source, target = struct.unpack_from("!HH", frame, begin)
        seen.setdefault(target, [socket.inet_ntoa(frame[26:30]), source])
        magic, left = STAMP.unpack_from(frame, begin + 8)
        if magic == MAGIC:
            times.append(_arrived(said) - left)
    return {"times": times, "seen": seen}


def _arrived(said: list[tuple[int, int, bytes]]) -> int:
    seconds, nanoseconds = struct.unpack("qq", next(data for _, kind, data in said if kind == SO_TIMESTAMPNS))
    return int(seconds) * 10**9 + int(nanoseconds)


def _to_ports(first: int, last: int) -> list[tuple[int, int, int, int]]:
    """A packet filter: whole UDP datagrams or their first fragments, to these ports (BPF)."""
    return [
        (0x28, 0, 0, 12), (0x15, 0, 8, 0x0800),  # ether proto ip
        (0x30, 0, 0, 23), (0x15, 0, 6, 17),  # ip proto udp
        (0x28, 0, 0, 20), (0x45, 4, 0, 0x1FFF),  # not a later fragment
        (0xB1, 0, 0, 14), (0x48, 0, 0, 16),  # the port, behind the header's length
        (0x35, 0, 1, first), (0x25, 0, 1, last),
        (0x06, 0, 0, 0), (0x06, 0, 0, SLOT),
    ]  # fmt: skip


def _attach(to: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    to.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))


if __name__ == "__main__":
    print(json.dumps({"send": send, "hear": hear}[sys.argv[1]](json.load(sys.stdin))))

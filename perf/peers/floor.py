"""The floor of `up`: the same namespaces and links in one netlink batch, and a process that sleeps for each node.

Runs on a lab host: `python3 -m perf.peers.floor` reads the description of a world (see `harness.engine.describe`) on
standard input and prints the seconds of each part; with `--remove` also those until all of it is gone again. Nothing
that makes a lab what it is happens here: no software starts, nothing is configured, and nobody waits until anything
works.

No process works for it but its own. What is sent to the kernel is packed before the clock runs, and goes in one piece
to the lab host and in one to each namespace, for an address is given from inside. A container is what one is made of,
namespaces, an overlay of the image's layers and the usual file systems, and one `sleep` is spawned into it; without
cgroup, device nodes and rights taken away.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from harness.agent.places import DISK, NETNS
from harness.agent.world import World
from harness.wait import wait_for

BRIDGE = "floor"
_ROOT = Path("/run/floor")
# Begins with a dot: what does not is a node's (`harness.agent.audit`).
_LAYERS = DISK / ".floor"
_SECONDS = 120

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_KINDS = {"mnt": _NEWNS, "uts": _NEWUTS, "ipc": _NEWIPC, "pid": _NEWPID, "net": _NEWNET}
_MS_BIND, _MNT_DETACH = 4096, 2
_PIVOT_ROOT = 155  # x86-64; the C library has no name for it

# What every container has (`harness.agent.bundle`), without the files of single nodes.
_MOUNTS = (
    ("/proc", "proc", ""),
    ("/dev", "tmpfs", "mode=755"),
    ("/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "mode=1777"),
    ("/dev/mqueue", "mqueue", ""),
    ("/sys", "sysfs", ""),
    ("/run", "tmpfs", "mode=755"),
    ("/tmp", "tmpfs", "mode=1777"),
)

_NEWLINK, _DELLINK, _NEWADDR, _ERROR = 16, 17, 20, 2
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_UP = 1
_HEADER = struct.Struct("=LHHLL")
_SO_SNDBUFFORCE = 32
_BRIDGE_INDEX, _LO_INDEX, _ETH0_INDEX = 10_000, 1, 1_000


@dataclass(frozen=True)
class Message:
    """One request of the kernel: its number (RTM_…), how it is meant (NLM_F_…), and what it says."""

    kind: int
    flags: int
    content: dict[str, Any]

    def pack(self, number: int, last: bool) -> bytes:
        """Only the last is answered when all went well; what did not is always answered."""
        message = (ifaddrmsg if self.kind == _NEWADDR else ifinfmsg)()
        message.setvalue(self.content)
        flags = self.flags | _REQUEST | (_ACK if last else 0)
        message["header"] = {"type": self.kind, "flags": flags, "sequence_number": number, "pid": 0}
        message.encode()
        padding = -len(message.data) % 4
        return bytes(message.data) + bytes(padding)


def _link(flags: int, index: int, up: bool, *attributes: tuple[str, Any]) -> Message:
    state = _UP if up else 0
    return Message(_NEWLINK, flags, {"index": index, "flags": state, "change": state, "attrs": list(attributes)})


def _pair(index: int, first: Sequence[tuple[str, Any]], second: Sequence[tuple[str, Any]]) -> Message:
    """A veth pair. The second end cannot be up from the start: it would have no peer at that moment."""
    data = {"attrs": [("VETH_INFO_PEER", {"attrs": list(second)})]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    return _link(_CREATE | _EXCL, index, True, *first, ("IFLA_LINKINFO", info))


def outside(world: World, handles: Mapping[str, int]) -> list[Message]:
    """All links, asked of the lab host; `handles` are the open namespaces by node."""
    bridge = {"attrs": [("IFLA_INFO_KIND", "bridge")]}
    found = [_link(_CREATE | _EXCL, _BRIDGE_INDEX, True, ("IFLA_IFNAME", BRIDGE), ("IFLA_LINKINFO", bridge))]
    for node in world["nodes"]:
        there, here = [("IFLA_IFNAME", "eth0"), ("IFLA_NET_NS_FD", handles[node["name"]])], _port(node)
        found.append(_pair(_ETH0_INDEX, there, [("IFLA_IFNAME", here)]))
        found.append(_link(0, 0, True, ("IFLA_IFNAME", here), ("IFLA_MASTER", _BRIDGE_INDEX)))
    for link in world["links"]:
        one, other = (
            [("IFLA_IFNAME", end["interface"]), ("IFLA_NET_NS_FD", handles[end["node"]])] for end in link["ends"]
        )
        found.append(_pair(0, one, other))
    return found


def inside(world: World, node: Mapping[str, Any]) -> list[Message]:
    """What is asked of a node's namespace: its address, and those of its interfaces up that are not yet."""
    host, length = node["management"].split("/")
    address = {"family": socket.AF_INET, "prefixlen": int(length), "index": _ETH0_INDEX}
    attributes = [("IFA_LOCAL", host), ("IFA_ADDRESS", host)]
    ends = [link["ends"][1]["interface"] for link in world["links"] if link["ends"][1]["node"] == node["name"]]
    return [
        _link(0, _LO_INDEX, True),
        Message(_NEWADDR, _CREATE | _EXCL, {**address, "attrs": attributes}),
        *(_link(0, 0, True, ("IFLA_IFNAME", end)) for end in ends),
    ]


def _port(node: Mapping[str, Any]) -> str:
    return f"f{node['number']}"


def packed(messages: Sequence[Message]) -> bytes:
    last = len(messages)
    return b"".join(message.pack(number, number == last) for number, message in enumerate(messages, 1))


class Wire:
    """A netlink socket into the namespace in which it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 1 << 24)  # the whole batch is one datagram

    def send(self, batch: bytes, count: int) -> None:
        """Returns when the kernel has done all of it. Raises OSError for the first that it refused."""
        self._socket.sendto(batch, (0, 0))
        while count not in self._answered():
            pass

    def _answered(self) -> Iterator[int]:
        answer, offset = self._socket.recv(1 << 16), 0
        while offset < len(answer):
            length, kind, _, number, _ = _HEADER.unpack_from(answer, offset)
            (status,) = struct.unpack_from("=i", answer, offset + _HEADER.size)
            if kind == _ERROR and status:
                raise OSError(-status, f"message {number} of the batch: {os.strerror(-status)}")
            yield number
            offset += length

    def close(self) -> None:
        self._socket.close()


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {arguments}: {os.strerror(number)}")


def _open(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)


def _copy_of_mounts() -> int:
    home = _open("mnt")
    _call("unshare", _NEWNS)
    copy = _open("mnt")
    _call("setns", home, _NEWNS)
    os.close(home)
    return copy


@dataclass
class Made:
    """What is there: a namespace's handle and its wire by node, and the processes that sleep."""

    handles: dict[str, int] = field(default_factory=dict)
    wires: dict[str, Wire] = field(default_factory=dict)
    sleeping: list[int] = field(default_factory=list)
    mounts: int = field(default_factory=_copy_of_mounts)
    """What is mounted before a node has its namespace: each container begins with a copy of that, and pays for it."""


def make_namespaces(world: World, made: Made) -> None:
    home = _open("net")
    for node in world["nodes"]:
        path = NETNS / node["name"]
        path.touch()
        _call("unshare", _NEWNET)
        _call("mount", b"/proc/self/ns/net", os.fsencode(path), None, _MS_BIND, None)
        made.handles[node["name"]] = os.open(path, os.O_RDONLY)
        made.wires[node["name"]] = Wire()
    _call("setns", home, _NEWNET)
    os.close(home)


def make_links(here: Wire, world: World, made: Made) -> float:
    """The seconds that it took the kernel."""
    batch = outside(world, made.handles)
    batches = {node["name"]: inside(world, node) for node in world["nodes"]}
    ready = [(here, packed(batch), len(batch))]
    ready += [(made.wires[name], packed(messages), len(messages)) for name, messages in batches.items()]
    begun = time.monotonic()
    for wire, octets, count in ready:
        wire.send(octets, count)
    return time.monotonic() - begun


def _mount(kind: str, place: str, options: str) -> None:
    _call("mount", kind.encode(), place.encode(), kind.encode(), 0, options.encode())


def spawn(world: World, made: Made) -> None:
    """Containers like the nodes', in each of which one process sleeps."""
    _ROOT.mkdir()
    homes = {kind: _open(name) for name, kind in _KINDS.items()}
    nowhere = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)]  # else it would keep ours open
    for node in world["nodes"]:
        _call("setns", made.mounts, _NEWNS)
        layer = _LAYERS / node["name"]
        for part in ("upper", "work"):
            (layer / part).mkdir(parents=True)
        _call("setns", made.handles[node["name"]], _NEWNET)
        _call("unshare", _NEWNS | _NEWUTS | _NEWIPC | _NEWPID)
        socket.sethostname(node["name"])
        lower = ":".join(node["layers"])
        _mount("overlay", str(_ROOT), f"lowerdir={lower},upperdir={layer / 'upper'},workdir={layer / 'work'}")
        os.chdir(_ROOT)
        _call("syscall", _PIVOT_ROOT, b".", b".")
        _call("umount2", b".", _MNT_DETACH)
        for place, what, options in _MOUNTS:
            if place.startswith("/dev/"):
                os.mkdir(place)
            _mount(what, place, options)
        made.sleeping.append(os.posix_spawn("/usr/bin/sleep", ["sleep", "infinity"], {}, file_actions=streams))
        _call("setns", homes[_NEWPID], _NEWPID)  # who was spawned is the first of its own; no second can be made of it
    for kind, home in homes.items():
        _call("setns", home, kind)


def remove(here: Wire, world: World, made: Made) -> None:
    """Returns when the kernel has none of it any more."""
    for process in made.sleeping:
        os.kill(process, signal.SIGKILL)
    for process in made.sleeping:
        os.waitpid(process, 0)
    for node in world["nodes"]:
        name = node["name"]
        made.wires.pop(name).close()
        os.close(made.handles.pop(name))
        _call("umount2", os.fsencode(NETNS / name), _MNT_DETACH)
        (NETNS / name).unlink()
    ports = {_port(node) for node in world["nodes"]}
    # A cable goes with the namespace of either end, and those that end on the lab host tell.
    wait_for(
        "the links of the floor to be gone",
        lambda: ports.isdisjoint(name for _, name in socket.if_nameindex()),
        _SECONDS,
        interval=0.002,
    )
    gone = [Message(_DELLINK, 0, {"index": _BRIDGE_INDEX, "attrs": []})]
    here.send(packed(gone), len(gone))
    shutil.rmtree(_LAYERS)
    _ROOT.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m perf.peers.floor", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--remove", action="store_true", help="take it apart again, and say how long that took")
    asked = parser.parse_args()
    world: World = json.load(sys.stdin)
    here, made = Wire(), Made()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two for each node
    begun = time.monotonic()
    make_namespaces(world, made)
    spent = {"links": time.monotonic() - begun + make_links(here, world, made)}
    begun = time.monotonic()
    spawn(world, made)
    spent["spawn"] = time.monotonic() - begun
    if asked.remove:
        begun = time.monotonic()
        remove(here, world, made)
        spent["remove"] = time.monotonic() - begun
    print(json.dumps(spent))


if __name__ == "__main__":
    main()

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
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlinkkit.requests import Request, Wire, packed

from harness.agent import rtnetlink, syscalls
from harness.agent.places import DISK, NETNS
from harness.agent.rtnetlink import End
from harness.agent.world import World
from harness.wait import wait_for

BRIDGE = "floor"
_ROOT = Path("/run/floor")
# Begins with a dot: what does not is a node's (`harness.agent.audit`).
_LAYERS = DISK / ".floor"
_SECONDS = 120

_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
_KINDS = {"mnt": _NEWNS, "uts": _NEWUTS, "ipc": _NEWIPC, "pid": _NEWPID, "net": _NEWNET}
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

_BRIDGE_INDEX, _LO_INDEX, _ETH0_INDEX = 10_000, 1, 1_000


def outside(world: World, handles: Mapping[str, int]) -> list[Request]:
    """All links, asked of the lab host; `handles` are the open namespaces by node."""
    found = [rtnetlink.bridge(BRIDGE, _BRIDGE_INDEX, up=True)]
    for node in world["nodes"]:
        name, here = node["name"], _port(node)
        inside = End("eth0", handles[name], index=_ETH0_INDEX)
        found.append(rtnetlink.cable(inside, End(here), name, up=True))
        found.append(rtnetlink.change(0, name, name=here, master=_BRIDGE_INDEX, up=True))
    for link in world["links"]:
        one, other = (End(end["interface"], handles[end["node"]]) for end in link["ends"])
        found.append(rtnetlink.cable(one, other, f"link {link['index']}", up=True))
    return found


def inside(world: World, node: Mapping[str, Any]) -> list[Request]:
    """What is asked of a node's namespace: its address, and those of its interfaces up that are not yet."""
    ends = [link["ends"][1]["interface"] for link in world["links"] if link["ends"][1]["node"] == node["name"]]
    return [
        rtnetlink.change(_LO_INDEX, "lo", up=True),
        rtnetlink.address(_ETH0_INDEX, node["management"], "eth0"),
        *(rtnetlink.change(0, end, name=end, up=True) for end in ends),
    ]


def _port(node: Mapping[str, Any]) -> str:
    return f"f{node['number']}"


def _open(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)


def _copy_of_mounts() -> int:
    home = _open("mnt")
    syscalls.call("unshare", _NEWNS)
    copy = _open("mnt")
    syscalls.call("setns", home, _NEWNS)
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
        syscalls.call("unshare", _NEWNET)
        syscalls.bind(b"/proc/self/ns/net", path)
        made.handles[node["name"]] = os.open(path, os.O_RDONLY)
        made.wires[node["name"]] = Wire()
    syscalls.call("setns", home, _NEWNET)
    os.close(home)


def make_links(here: Wire, world: World, made: Made) -> float:
    """The seconds that it took the kernel."""
    batch = outside(world, made.handles)
    batches = {node["name"]: inside(world, node) for node in world["nodes"]}
    ready = [(here, packed(batch), batch)]
    ready += [(made.wires[name], packed(requests), requests) for name, requests in batches.items()]
    begun = time.monotonic()
    for wire, datagram, requests in ready:
        wire.send(datagram, requests)
    return time.monotonic() - begun


def spawn(world: World, made: Made) -> None:
    """Containers like the nodes', in each of which one process sleeps."""
    _ROOT.mkdir()
    homes = {kind: _open(name) for name, kind in _KINDS.items()}
    nowhere = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, nowhere, number) for number in (0, 1, 2)]  # else it would keep ours open
    for node in world["nodes"]:
        syscalls.call("setns", made.mounts, _NEWNS)
        layer = _LAYERS / node["name"]
        for part in ("upper", "work"):
            (layer / part).mkdir(parents=True)
        syscalls.call("setns", made.handles[node["name"]], _NEWNET)
        syscalls.call("unshare", _NEWNS | _NEWUTS | _NEWIPC | _NEWPID)
        socket.sethostname(node["name"])
        lower = ":".join(node["layers"])
        syscalls.mount(
            "overlay", "overlay", _ROOT, f"lowerdir={lower},upperdir={layer / 'upper'},workdir={layer / 'work'}"
        )
        os.chdir(_ROOT)
        syscalls.call("syscall", _PIVOT_ROOT, b".", b".")
        syscalls.unmount(Path(), lazily=True)
        for place, what, options in _MOUNTS:
            if place.startswith("/dev/"):
                os.mkdir(place)
            syscalls.mount(what, what, Path(place), options)
        made.sleeping.append(os.posix_spawn("/usr/bin/sleep", ["sleep", "infinity"], {}, file_actions=streams))
        syscalls.call(
            "setns", homes[_NEWPID], _NEWPID
        )  # who was spawned is the first of its own; no second can be made of it
    for kind, home in homes.items():
        syscalls.call("setns", home, kind)


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
        syscalls.unmount(NETNS / name, lazily=True)
        (NETNS / name).unlink()
    ports = {_port(node) for node in world["nodes"]}
    # A cable goes with the namespace of either end, and those that end on the lab host tell.
    wait_for(
        "the links of the floor to be gone",
        lambda: ports.isdisjoint(name for _, name in socket.if_nameindex()),
        _SECONDS,
        interval=0.002,
    )
    here.ask(rtnetlink.removal([_BRIDGE_INDEX]))
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

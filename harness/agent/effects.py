"""What a fault does on the lab host, and how each of it is taken back (`harness.agent.faults` says when)."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.agent import clocks, disk, lines, links, nodes, power, processes
from harness.agent.commands import run_command
from harness.agent.exclusive import Exclusive
from harness.agent.places import FAULTS
from harness.agent.runtimes import is_paused, runtime
from harness.agent.shell import ToolError
from harness.wait import wait_for

Effect = dict[str, Any]
Memory = Any
"""What has to be known to take an effect back; JSON."""

_CPU_PERIOD = 100_000
_MIB = 2**20
_UNBOUND = "max"
_SERVICE_SECONDS = 20
_NO_SERVICE = "unable to change to service directory"


exclusive = Exclusive(FAULTS / "lock")
"""For whoever begins or ends a fault."""


def file_of(fault: str) -> Path:
    """Where a fault stands as long as it is in effect."""
    return FAULTS / f"{fault}.json"


def is_in_effect(fault: str) -> bool:
    return file_of(fault).exists()


def _nothing(*_: Any) -> None:
    """There is nothing to remember, or nothing to take back."""


def _everywhere(_: Effect) -> str | None:
    """It may be anywhere as often as one likes: such effects add up."""
    return None


@dataclass(frozen=True)
class Kind:
    """`look` says what `end` will have to know; `place` what bears only one of it."""

    begin: Callable[[str, Effect, Memory], None]
    end: Callable[[str, Effect, Memory], None] = _nothing
    look: Callable[[Effect], Memory] = _nothing
    place: Callable[[Effect], str | None] = _everywhere
    outlives_power: bool = False
    restarts_node: bool = False


def place(effect: Effect) -> str | None:
    """What this effect wants for itself, in words; None if it shares."""
    return KINDS[effect["kind"]].place(effect)


def _of_node(what: str) -> Callable[[Effect], str]:
    return lambda effect: f"{what} of node {effect['node']}"


def _owner(effect: Effect) -> str:
    return f"node {effect['node']}" if effect.get("node") else "the lab"


# Lines: cables and what travels on them.


def _strain(fault: str, effect: Effect, _: Memory) -> None:
    drops = {
        side: [plain for match in matches for plain in _with_addresses(match)]
        for side, matches in effect["strain"].get("drop", {}).items()
    }
    lines.strain(effect["link"], fault, {**effect["strain"], "drop": drops})


def _with_addresses(match: dict[str, Any]) -> list[dict[str, Any]]:
    """Whose frames are meant is said by interfaces (`of`); on a line they are known by the addresses of now."""
    if "of" not in match:
        return [match]
    found = [address for end in match["of"] for address in links.addresses(*end.split(":"))]
    if not found:
        raise LookupError(f"none of {', '.join(match['of'])} has an address; whose frames are meant cannot be told")
    return [{"address": address, "end": match["end"]} for address in found]


def _relieve(fault: str, effect: Effect, _: Memory) -> None:
    lines.relieve(effect["link"], fault)


# Processes.


def _look_running(effect: Effect) -> list[int]:
    if effect.get("process"):
        return processes.named(effect["node"], effect["process"])
    processes.first(effect["node"])
    _cgroup(effect["node"])
    return []


def _pause(_: str, effect: Effect, memory: list[int]) -> None:
    if effect.get("process"):
        processes.send(memory, "STOP")
    else:
        runtime().pause(effect["node"])


def _resume(_: str, effect: Effect, memory: list[int]) -> None:
    if effect.get("process"):
        processes.send(memory, "CONT")
    elif is_paused(effect["node"]):
        runtime().resume(effect["node"])


def _kill(_: str, effect: Effect, __: Memory) -> None:
    processes.send(processes.named(effect["node"], effect["process"]), effect["signal"])


class NoServiceError(LookupError):
    """A node has no such service."""


def _sv(effect: Effect, verb: str) -> None:
    """runit's own tool. A node that has just got power looks after its services a moment later."""
    argv = ["sv", "-w", str(_SERVICE_SECONDS), verb, effect["process"]]

    def done() -> bool:
        outcome = run_command(effect["node"], argv, None, _SERVICE_SECONDS + 5, {})
        said = (outcome["stderr"] or outcome["stdout"]).strip()
        if _NO_SERVICE in said:
            raise NoServiceError(f"node {effect['node']} has no service {effect['process']}")
        if outcome["status"] != 0 and "runsv not running" not in said:
            raise ToolError(f"{effect['node']}: {' '.join(argv)}: {said}")
        return bool(outcome["status"] == 0)

    wait_for(f"{effect['node']} to look after service {effect['process']}", done, _SERVICE_SECONDS)


def _stop(_: str, effect: Effect, __: Memory) -> None:
    _sv(effect, "down")


def _restart(_: str, effect: Effect, __: Memory) -> None:
    if runtime().pid(effect["node"]):  # without power it comes back with the node
        with contextlib.suppress(NoServiceError):  # it was taken away meanwhile
            _sv(effect, "up")


# Power.


def _look_powered(effect: Effect) -> None:
    processes.first(effect["node"])


def _look_disk(effect: Effect) -> None:
    if effect.get("node"):  # without power its disk is not there
        processes.first(effect["node"])


def _power_off(_: str, effect: Effect, __: Memory) -> None:
    power.off(effect["description"], effect["plugged"])


def _power_on(_: str, effect: Effect, __: Memory) -> None:
    power.on(effect["description"], effect["plugged"])


# Means: processor, memory, disk.


def _cgroup(node: str) -> Path:
    if not nodes.cgroups():
        raise LookupError("this lab host has no cgroup v2 controllers; bring the lab up with `--host lab-kernel`")
    return runtime().cgroup(node)


def _limit(effect: Effect, file: str, value: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # without power it has no cgroup; it gets the limit with the power
        (_cgroup(effect["node"]) / file).write_text(value)


def _look_cpu(effect: Effect) -> str:
    processes.first(effect["node"])
    return (_cgroup(effect["node"]) / "cpu.max").read_text().strip()


def _slow_down(_: str, effect: Effect, memory: str) -> None:
    wanted = f"{round(effect['percent'] * _CPU_PERIOD / 100)} {_CPU_PERIOD}"
    _limit(effect, "cpu.max", min(wanted, memory, key=_share))


def _share(limit: str) -> float:
    """What cpu.max leaves of one processor."""
    quota, period = limit.split()
    return math.inf if quota == _UNBOUND else int(quota) / int(period)


def _speed_up(_: str, effect: Effect, memory: str) -> None:
    _limit(effect, "cpu.max", memory)


def _look_memory(effect: Effect) -> dict[str, str]:
    """The limit from before, and the new one: what the node cannot give back, and what is left to it beside that."""
    processes.first(effect["node"])
    cgroup = _cgroup(effect["node"])
    stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    needed = int((cgroup / "memory.current").read_text()) - int(stat["inactive_file"]) - int(stat["active_file"])
    limit = max(needed, 0) + round(effect["left"] * _MIB)
    before = (cgroup / "memory.max").read_text().strip()
    return {"before": before, "limit": str(limit if before == _UNBOUND else min(limit, int(before)))}


def _take_memory(_: str, effect: Effect, memory: dict[str, str]) -> None:
    _limit(effect, "memory.max", memory["limit"])


def _give_memory(_: str, effect: Effect, memory: dict[str, str]) -> None:
    _limit(effect, "memory.max", memory["before"])


# Clocks.


def _look_clock(effect: Effect) -> float:
    if effect.get("node"):
        processes.first(effect["node"])
        return 0.0
    return clocks.truth()


def _set_clock(fault: str, effect: Effect, memory: float) -> None:
    node = effect.get("node")

    def show(seconds: float = 0) -> None:
        offset = effect["offset"] + seconds * effect["drift"] / 1000
        with exclusive():  # who puts it right must not be followed by one who puts it wrong
            if is_in_effect(fault):
                clocks.show(node, offset) if node else clocks.set_lab(memory, offset)

    if node:
        clocks.dress(node, effect["offset"])
        _cycle(effect)
    else:
        show()
    if effect["drift"]:
        _every(fault, 1, show)


def _right_clock(fault: str, effect: Effect, memory: float) -> None:
    _cease(fault)
    if effect.get("node"):
        clocks.undress(effect["node"])
        _cycle(effect)
    else:
        clocks.set_lab(memory, 0)


def _cycle(effect: Effect) -> None:
    power.off(effect["description"], effect["plugged"])
    power.on(effect["description"], effect["plugged"])


# What goes on while the fault lasts. It ends with its agent, and so does the fault.

_going: dict[str, threading.Event] = {}


def _every(fault: str, seconds: float, action: Callable[[float], None]) -> None:
    """Do it again and again; `action` is told for how many seconds this goes on."""
    over = _going[fault] = threading.Event()

    def go_on() -> None:
        passed = 0.0
        while not over.wait(seconds) and is_in_effect(fault):  # another agent may have ended it
            passed += seconds
            with contextlib.suppress(Exception):  # a node may be off at this moment; the next round tries again
                action(passed)

    threading.Thread(target=go_on, name=f"fault {fault}", daemon=True).start()


def _cease(fault: str) -> None:
    if (over := _going.pop(fault, None)) is not None:
        over.set()


# strongSwan's own tool names what there is, an IKE SA in the first column and its children below.
_REKEY = r"""
swanctl --list-sas | awk '/^[^ ].*: #/ { sub(/:$/, "", $1); print "--ike", $1 }
                          /^  [^ ].*: #/ { sub(/:$/, "", $1); print "--child", $1 }' |
while read -r kind name; do swanctl --rekey "$kind" "$name" & done
wait
"""


def _rekey(fault: str, effect: Effect, _: Memory) -> None:
    def storm(_: float = 0) -> None:
        run_command(effect["node"], ["/bin/sh", "-c", _REKEY], None, 20, {})

    done = run_command(effect["node"], ["swanctl", "--stats"], None, 20, {})
    if done["status"] != 0:
        raise ToolError(f"no charon answers in node {effect['node']}: {(done['stderr'] or done['stdout']).strip()}")
    _every(fault, effect["every"], storm)


def _end_going(fault: str, _: Effect, __: Memory) -> None:
    _cease(fault)


KINDS: dict[str, Kind] = {
    "line": Kind(_strain, _relieve),
    "pause": Kind(_pause, _resume, _look_running, _of_node("the processes")),
    "kill": Kind(_kill),
    "stop": Kind(
        _stop,
        _restart,
        place=lambda effect: f"service {effect['process']} of node {effect['node']}",
        outlives_power=True,
    ),
    "power": Kind(_power_off, _power_on, _look_powered, _of_node("the power"), restarts_node=True),
    "cpu": Kind(_slow_down, _speed_up, _look_cpu, _of_node("the processor"), outlives_power=True),
    "memory": Kind(_take_memory, _give_memory, _look_memory, _of_node("the memory"), outlives_power=True),
    "disk": Kind(
        lambda fault, effect, _: disk.fill(fault, effect.get("node"), effect["left"]),
        lambda fault, effect, _: disk.empty(fault, effect.get("node")),
        _look_disk,
        lambda effect: f"the disk of {_owner(effect)}",
    ),
    "clock": Kind(
        _set_clock,
        _right_clock,
        _look_clock,
        lambda effect: f"the clock of {_owner(effect)}",
        restarts_node=True,
    ),
    "rekey": Kind(_rekey, _end_going, place=_of_node("the key exchange")),
}

"""The agent's loop: requests in from one execnet channel, answers out, in any order.

A request is `(id, operation, arguments)`, an answer `(id, True, value)` or `(id, False, (error type, message))`. Calls
run in threads so that a long one does not hold up others. When the channel closes, whatever its user had borrowed
(captures, faults) is given back, also if that user was killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.agent import (
    audit,
    capture,
    commands,
    containers,
    deployed,
    faults,
    files,
    ike,
    lines,
    links,
    meters,
    netlink,
    power,
    probe,
    ready,
    runtimes,
)
from harness.agent.borrowed import Borrowed
from harness.agent.world import World, build

Operation = Callable[..., Any]


WAYS_BACK: dict[str, Operation] = {
    "lift fault": faults.lift,
    "stop": capture.stop,
    "hush": ike.hush,
    "plug management": lambda: links.set_management(True),
}


def operations(borrowed: Borrowed) -> dict[str, Operation]:
    def begin_fault(fault: str, what: dict[str, Any], effects: list[dict[str, Any]]) -> None:
        way = ("lift fault", {"fault": fault, "why": "whoever began it is gone"})
        borrowed.take(f"fault {fault}", lambda: faults.begin(fault, what, effects), way)

    def end_fault(fault: str, why: str = "ended") -> None:
        faults.lift(fault, why)
        borrowed.end(f"fault {fault}")

    def record(name: str, device: str, file: str, expression: str, rotate: tuple[int, int] | None = None) -> None:
        way = ("stop", {"name": name})
        borrowed.take(f"capture {name}", lambda: capture.start(name, device, file, expression, rotate), way)

    def tell_keys(node: str) -> None:
        borrowed.take(f"keys {node}", lambda: ike.tell(node), ("hush", {"node": node}))

    def cut_management() -> None:
        borrowed.take("cut management", lambda: links.set_management(False), ("plug management", {}))

    def make(world: World, later: Collection[str] = ()) -> dict[str, float]:
        spent, started = build(world, later, faults.without_power())
        for name in started:
            faults.reassert(name)
        return spent

    def make_deployed(world: World, deploy: dict[str, str], start: list[str]) -> None:
        dark = faults.without_power()
        started = [name for name in start if name not in dark]
        deployed.build(world, deploy, started)
        for name in started:
            faults.reassert(name)

    def power_on(node: dict[str, Any], plugged: list[links.Link]) -> None:
        power.on(node, plugged)
        faults.reassert(node["name"])

    def demolish(world: World) -> list[str]:
        faults.forget()
        return power.demolish(world)

    return {
        "ping": lambda: "pong",
        "pid": os.getpid,
        "probe": probe.probe,
        "build": make,
        "demolish": demolish,
        "deployed.build": make_deployed,
        "deployed.settle": deployed.settle,
        "docker.load": containers.load,
        "docker.leave_disk": containers.leave_disk,
        "node.run": commands.run_command,
        "node.power_off": power.off,
        "node.power_on": power_on,
        "node.files": files.changed,
        "node.states": runtimes.states,
        "node.ready": ready.holds,
        "node.listening": ready.listening,
        "nodes.set_up": power.set_up_nodes,
        "fault.prepare": netlink.prepare,
        "fault.begin": begin_fault,
        "fault.end": end_fault,
        "fault.active": faults.active,
        "fault.clear": faults.clear,
        "lines": lines.known,
        "management.cut": cut_management,
        "management.mend": lambda: borrowed.give_back("cut management"),
        "capture.start": record,
        "capture.stop": lambda name: borrowed.give_back(f"capture {name}"),
        "capture.read": capture.read,
        "ike.tell": tell_keys,
        "ike.hush": lambda node: borrowed.give_back(f"keys {node}"),
        "meters": meters.read,
        "audit": audit.leftovers,
    }


def serve(channel: Any) -> None:
    """Answer until the channel is closed by the other side or its connection is lost."""
    borrowed = Borrowed(WAYS_BACK)
    known = operations(borrowed)
    sending = threading.Lock()

    def answer(number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            operation = known.get(name)
            if operation is None:
                raise LookupError(f"the agent knows no operation {name!r}")
            reply = (number, True, operation(**arguments))
        except Exception as error:  # whatever went wrong is the caller's to see
            reply = (number, False, (type(error).__name__, str(error)))
        with sending:
            if not channel.isclosed():
                channel.send(reply)

    # More than tests start at once: callers that wait for each other must not wait for a thread (sixteen tenants).
    with ThreadPoolExecutor(max_workers=64, thread_name_prefix="call") as pool:
        try:
            for number, name, arguments in channel:
                pool.submit(answer, number, name, arguments)
        finally:
            borrowed.give_back_all()

"""One round, in the image that has all of it: `python3 -m perf.devices.inside` prints what it measured as JSON.

Nothing here reaches a network but the loopback of a namespace of its own. Time is taken outside of what is measured:
boxes count as managed when the controller says of every one that it is in sync, and they themselves that they are
connected; sites as built when every box has confirmed its part.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.orchestrator.errors import UnavailableError
from harness.orchestrator.registry import DEVICES, YANG
from harness.wait import wait_for
from perf.devices import asking, lighty, load, testtool
from perf.devices.boxes import Boxes
from perf.devices.components import Components
from perf.devices.orders import order
from perf.edits.inside import floor
from perf.lab import BenchmarkError
from perf.simulator.boxes import Model
from perf.simulator.fleet import numbered
from perf.simulator.identities import Wanted

_NETWORK = "/restconf/data/elasticlab-network:network"
_SECONDS = 300.0
_IDLE = 5.0
"""Seconds of rest over which is measured what doing nothing costs."""


def fleet(devices: int, pops: int) -> list[Wanted]:
    return [*numbered(Model.named("vmsr-x86"), pops), *numbered(Model.named("ucpe-100"), devices)]


def register(components: Components, boxes: list[Wanted]) -> None:
    listed = [{"serial": box.serial, "name": box.name, "model": box.model, "owner": "operator"} for box in boxes]
    body = {"elasticlab-devices:devices": {"device": listed}}
    components.client.call("manager", "PUT", DEVICES, body, media=YANG)


def network(components: Components, below: str = "") -> dict[str, Any]:
    """What the controller says of all, or of a resource below; nothing while it is not there."""
    try:
        answer = components.client.call("controller", "GET", _NETWORK + below)
    except UnavailableError:
        return {}
    if answer.status != 200:
        return {}
    told: dict[str, Any] = answer.json()
    return told if below else dict(told.get("elasticlab-network:network", {}))


def managed(components: Components, boxes: Boxes) -> Callable[[], bool]:
    """Asking of all is work for the controller: one that was not managed the last time is asked of alone."""
    late: list[str] = []

    def all_there() -> bool:
        if boxes.state["connected"] < boxes.count:  # asked first: it costs the controller nothing
            return False
        if late:
            alone = network(components, f"/device={late[0]}").get("elasticlab-network:device", [])
            if not all(map(_is_managed, alone)):
                return False
        told = network(components).get("device", [])
        late[:] = [one["name"] for one in told if not _is_managed(one)][-1:]
        return len(told) == boxes.count and not late

    return all_there


def _is_managed(device: dict[str, Any]) -> bool:
    return bool(device["connected"] and device["sync"] == "in-sync")


def until(name: str, condition: Callable[[], bool]) -> float:
    begun = time.monotonic()
    wait_for(name, condition, _SECONDS, interval=0.05)
    return time.monotonic() - begun


def round_of_ours(data: Path, devices: int, pops: int) -> dict[str, float]:
    """Everything once, with fresh boxes and a fresh orchestrator."""
    components = Components(data)
    components.start()
    found: dict[str, float] = {}
    begun = time.monotonic()
    register(components, fleet(devices, pops))
    found["register s"] = time.monotonic() - begun
    boxes = Boxes(components, devices, pops)
    try:
        told = boxes.started()
        found["start s"], found["start MB a device"] = told["seconds"], told["grown_mb"] / boxes.count
        before = components.cpu_seconds("controller")
        found["connect s"] = until("all boxes are managed", managed(components, boxes))
        found["connect controller CPU s"] = components.cpu_seconds("controller") - before
        found["controller MB"] = components.resident_mb("controller")
        found["controller MB a device"] = found["controller MB"] / boxes.count
        found["MB in all"] = boxes.state["resident_mb"]
        found["MB a device"] = (boxes.state["resident_mb"] - told["before_mb"]) / boxes.count
        found |= _idle(components)
        found |= load.edits(components) | load.reads(components, devices)
        found |= _restart("restart", components, boxes)
        found |= _build(components, boxes, devices, pops)
        found |= _restart("restart with sites", components, boxes)
    finally:
        boxes.stop()
        components.stop()
    return found


def of_clients(data: Path) -> dict[str, float]:
    """What those who read can do: as many requests, over TLS, to an application that does nothing."""
    with floor(Components(data), "none") as server:
        return load.told("requests", load.drive(server, load.edit, load.READERS))


def _idle(components: Components) -> dict[str, float]:
    before = components.cpu_seconds("controller")
    time.sleep(_IDLE)  # what is measured is that nothing happens
    return {"idle controller CPU %": 100 * (components.cpu_seconds("controller") - before) / _IDLE}


def _restart(name: str, components: Components, boxes: Boxes) -> dict[str, float]:
    """Kill -9 of the controller, and how long until every box is managed again: compared with what is intended."""
    spent = boxes.state["cpu_seconds"]
    begun = time.monotonic()
    components.kill("controller")
    components.start("controller")
    answers = time.monotonic() - begun
    until("all boxes are managed again", managed(components, boxes))
    return {
        f"{name}, answers s": answers,
        f"{name} s": time.monotonic() - begun,
        f"{name} controller CPU s": components.cpu_seconds("controller"),
        f"{name} simulator CPU s": boxes.state["cpu_seconds"] - spent,
    }


def _build(components: Components, boxes: Boxes, devices: int, pops: int) -> dict[str, float]:
    """A site at every uCPE, in one order: accepted, then built by one commit over all boxes."""
    before = components.cpu_seconds("controller")
    begun = time.monotonic()
    answer = components.order(order(devices))
    accepted = time.monotonic() - begun
    if answer != 204:
        raise BenchmarkError(f"the order of {devices} sites is answered {answer}")

    def built() -> bool:
        state = boxes.state
        return bool(state["configured"] == devices + pops and not state["unconfirmed"])

    until("every box has its part of all sites", built)
    seconds = time.monotonic() - begun
    until("the controller says so", lambda: _in_sync(network(components), devices))
    return {
        "sites, accepted s": accepted,
        "sites, built s": seconds,
        "sites, said s": time.monotonic() - begun,
        "sites controller CPU s": components.cpu_seconds("controller") - before,
    }


def _in_sync(told: dict[str, Any], sites: int) -> bool:
    return sum(bool(one.get("in-sync")) for one in told.get("site", [])) == sites


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m perf.devices.inside")
    parser.add_argument("--who", choices=("ours", "testtool", "lighty", "clients", "box", "echo"), required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--pops", type=int, default=4, help="no more than boxes, for each has a site's tunnel")
    parser.add_argument("--disk", type=Path, required=True, help="a folder on a disk")
    parser.add_argument("--jar", type=Path, help="netconf-testtool")
    parser.add_argument("--libraries", type=Path, help="lighty")
    parser.add_argument("--result", type=Path, required=True)
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(dir=asked.disk) as place:
            if asked.who == "ours":
                found = round_of_ours(Path(place), asked.devices, min(asked.pops, asked.devices))
            elif asked.who in ("box", "echo"):
                found = asking.measure(asked.who, asked.devices, Path(place))
            elif asked.who == "clients":
                found = of_clients(Path(place))
            elif asked.who == "lighty":
                found = lighty.measure(asked.jar, asked.libraries, Path(place), asked.devices)
            else:
                found = testtool.measure(asked.jar, Path(place), asked.devices)
    except (BenchmarkError, TimeoutError) as error:
        print(f"perf.devices: {error}", file=sys.stderr)
        return 1
    asked.result.write_text(json.dumps({name: round(value, 4) for name, value in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
